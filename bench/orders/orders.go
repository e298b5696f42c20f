// Package orders makes documents for benchmarks: nested, of four shapes, like the orders of a shop, about 690 bytes each.
// They compress by a factor of about 3.5 with a fast coder, as such collections do. The same seed makes the same documents.
package orders

import (
	"encoding/binary"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Orders is a source of documents.
type Orders struct {
	random *rand.Rand
	made   int64
}

// New begins a series.
func New(seed uint64) *Orders { return &Orders{random: rand.New(rand.NewPCG(seed, 7))} }

var (
	cities  = []string{"Madrid", "Lisboa", "Valencia", "Sevilla", "Porto", "Bilbao", "Malaga", "Zaragoza", "Braga", "Faro"}
	streets = []string{"Calle Mayor", "Rua Augusta", "Gran Via", "Avenida de la Constitucion", "Calle del Sol", "Rua Direita"}
	names   = []string{"Ana Silva", "Luis Romero", "Marta Gil", "Joao Costa", "Ines Vidal", "Pablo Ruiz", "Rita Lopes", "Hugo Sanz"}
	goods   = []string{"usb-c cable 2m", "mechanical keyboard", "monitor arm", "webcam 1080p", "desk lamp", "headset", "dock"}
	states  = []string{"new", "paid", "packed", "shipped", "delivered", "returned"}
)

// Next gives the next document.
func (o *Orders) Next() bson.Raw {
	o.made++
	return o.with(o.id())
}

// With gives the next document under an identity that another one had.
func (o *Orders) With(id bson.RawValue) bson.Raw {
	o.made++
	return o.with(id)
}

func (o *Orders) with(id any) bson.Raw {
	r := o.random
	document := bson.D{
		{Key: "_id", Value: id}, {Key: "number", Value: o.made}, {Key: "created", Value: bson.DateTime(1761120000000 + o.made*137 + r.Int64N(97))},
		{Key: "customer", Value: bson.D{{Key: "name", Value: pick(r, names)}, {Key: "session", Value: text(r, 24)},
			{Key: "address", Value: bson.D{{Key: "street", Value: pick(r, streets)}, {Key: "number", Value: r.Int32N(300)},
				{Key: "city", Value: pick(r, cities)}, {Key: "postcode", Value: r.Int32N(99999)}}}}},
		{Key: "state", Value: pick(r, states)}, {Key: "total", Value: float64(r.Int64N(100_000)) / 100},
	}
	lines := bson.A{}
	for range 3 + r.IntN(2) {
		lines = append(lines, bson.D{{Key: "sku", Value: "SKU-" + text(r, 7)}, {Key: "name", Value: pick(r, goods)},
			{Key: "quantity", Value: r.Int32N(9)}, {Key: "price", Value: float64(r.Int64N(50_000)) / 100},
			{Key: "taxed", Value: r.IntN(2) == 0}})
	}
	document = append(document, bson.E{Key: "lines", Value: lines})
	switch o.made % 4 {
	case 1:
		document = append(document, bson.E{Key: "payment", Value: bson.D{{Key: "method", Value: "card"}, {Key: "token", Value: text(r, 22)},
			{Key: "captured", Value: true}, {Key: "attempts", Value: r.Int32N(4)}}})
	case 2:
		document = append(document, bson.E{Key: "shipment", Value: bson.D{{Key: "carrier", Value: "correos"}, {Key: "tracking", Value: text(r, 14)},
			{Key: "weight", Value: r.Float64() * 10}, {Key: "sent", Value: bson.DateTime(1761120000000 + r.Int64N(1e9))}}})
	case 3:
		document = append(document, bson.E{Key: "coupon", Value: nil}, bson.E{Key: "tags", Value: bson.A{"web", pick(r, cities), pick(r, states)}},
			bson.E{Key: "revision", Value: r.Int64N(9)}, bson.E{Key: "note", Value: "please ring twice at " + pick(r, streets)})
	}
	content, err := bson.Marshal(document)
	if err != nil {
		panic(err) // the document is made of plain values
	}
	return content
}

func (o *Orders) id() bson.ObjectID {
	var id bson.ObjectID
	binary.BigEndian.PutUint32(id[:], uint32(1761120000+o.made/50))
	copy(id[4:9], "\x5f\x3a\x91\xc2\x77")
	id[9], id[10], id[11] = byte(o.made>>16), byte(o.made>>8), byte(o.made)
	return id
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func text(r *rand.Rand, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	out := make([]byte, n)
	for i := range out {
		out[i] = letters[r.IntN(len(letters))]
	}
	return string(out)
}
