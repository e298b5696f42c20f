package format_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// orders makes nested documents of four shapes that look like a shop's orders, about 690 bytes each, from a seed.
type orders struct {
	random *rand.Rand
	made   int
}

func newOrders(seed uint64) *orders {
	return &orders{random: rand.New(rand.NewPCG(seed, 1))}
}

var (
	cities  = []string{"Madrid", "Lisboa", "Valencia", "Sevilla", "Porto", "Bilbao", "Malaga", "Zaragoza"}
	streets = []string{"Calle Mayor", "Rua Augusta", "Gran Via", "Avenida de la Constitucion", "Calle del Sol"}
	goods   = []string{"usb-c cable 2m", "mechanical keyboard", "monitor arm", "webcam 1080p", "desk lamp", "headset"}
	states  = []string{"new", "paid", "packed", "shipped", "delivered", "returned"}
)

func pick[V any](o *orders, from []V) V { return from[o.random.IntN(len(from))] }

func (o *orders) hex(digits int) string {
	text := make([]byte, digits)
	for i := range text {
		text[i] = "0123456789abcdef"[o.random.IntN(16)]
	}
	return string(text)
}

// text makes what no compressor can do much about.
func (o *orders) text(length int) string {
	text := make([]byte, length)
	for i := range text {
		text[i] = byte('0' + o.random.IntN(75))
	}
	return string(text)
}

func (o *orders) id() bson.ObjectID {
	var id bson.ObjectID
	binary.BigEndian.PutUint32(id[:], uint32(1761120000+o.made/50))
	binary.BigEndian.PutUint64(id[4:], 0x5f3a_91c2_7700_0000+uint64(o.made))
	return id
}

func (o *orders) item() bson.D {
	return bson.D{
		{Key: "sku", Value: "SKU-" + o.text(14)}, {Key: "title", Value: pick(o, goods)},
		{Key: "quantity", Value: int32(1 + o.random.IntN(4))},
		{Key: "price", Value: bson.D{{Key: "amount", Value: float64(o.random.IntN(20000)) / 100}, {Key: "currency", Value: "EUR"}}},
	}
}

func (o *orders) next() bson.Raw {
	o.made++
	created := time.UnixMilli(1761120000000 + int64(o.made)*37 + int64(o.random.IntN(30))).UTC()
	items := bson.A{}
	for range 2 + o.random.IntN(3) {
		items = append(items, o.item())
	}
	document := bson.D{
		{Key: "_id", Value: o.id()}, {Key: "number", Value: fmt.Sprintf("ES-%08d", o.made)},
		{Key: "customer", Value: bson.D{
			{Key: "id", Value: o.hex(24)}, {Key: "mail", Value: o.text(24) + "@example.com"},
			{Key: "address", Value: bson.D{{Key: "street", Value: pick(o, streets)},
				{Key: "house", Value: int32(o.random.IntN(200))}, {Key: "city", Value: pick(o, cities)}}},
		}},
		{Key: "items", Value: items}, {Key: "state", Value: pick(o, states)}, {Key: "created", Value: created},
	}
	switch o.made % 4 {
	case 1:
		document = append(document, bson.E{Key: "payment", Value: bson.D{{Key: "method", Value: "card"},
			{Key: "token", Value: o.text(60)}, {Key: "captured", Value: true}}})
	case 2:
		document = append(document, bson.E{Key: "shipment", Value: bson.D{{Key: "carrier", Value: "correos"},
			{Key: "tracking", Value: o.text(40)}, {Key: "weight", Value: o.random.Float64() * 10}}})
	case 3:
		document = append(document, bson.E{Key: "coupon", Value: nil}, bson.E{Key: "tags", Value: bson.A{"web", pick(o, cities)}},
			bson.E{Key: "revision", Value: int64(o.random.IntN(9))}, bson.E{Key: "note", Value: o.text(40)})
	}
	raw, err := bson.Marshal(document)
	if err != nil {
		panic(err)
	}
	return raw
}

func (o *orders) take(n int) []bson.Raw {
	documents := make([]bson.Raw, n)
	for i := range documents {
		documents[i] = o.next()
	}
	return documents
}

func TestOrdersHaveTheirSize(t *testing.T) {
	total := 0
	for _, document := range newOrders(1).take(4000) {
		total += len(document)
	}
	if mean := total / 4000; mean < 640 || mean > 740 {
		t.Errorf("orders have %d bytes each, the figures of the benchmarks are for about 690", mean)
	}
}
