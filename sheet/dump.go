package sheet

import (
	"bytes"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// bucketsPrefix is before the name of the collection that holds a time series.
const bucketsPrefix = "system.buckets."

// isBuckets reports whether a collection holds the buckets of a time series: the server's own form of its documents.
func isBuckets(c pitr.Collection) bool { return strings.HasPrefix(c.NS.Collection, bucketsPrefix) }

// hasDocuments reports whether a collection has documents of its own. Those of a time series are in its buckets.
func hasDocuments(c pitr.Collection) bool {
	return c.Type != pitr.TypeView && c.Type != pitr.TypeTimeseries
}

// metadata gives what mongodump writes beside the documents of a collection: options, indexes, identity, name and type, in
// canonical Extended JSON, in this order.
func metadata(c pitr.Collection) ([]byte, error) {
	var document bson.D
	if elements, err := c.Options.Elements(); err == nil && len(elements) > 0 {
		document = append(document, bson.E{Key: "options", Value: c.Options})
	}
	indexes := bson.A{}
	if c.Type != pitr.TypeView {
		for _, spec := range c.Indexes {
			indexes = append(indexes, spec)
		}
	}
	document = append(document, bson.E{Key: "indexes", Value: indexes})
	if !c.UUID.IsZero() {
		document = append(document, bson.E{Key: "uuid", Value: strings.ReplaceAll(c.UUID.String(), "-", "")})
	}
	document = append(document, bson.E{Key: "collectionName", Value: c.NS.Collection})
	if c.Type != "" {
		document = append(document, bson.E{Key: "type", Value: string(c.Type)})
	}
	text, err := bson.MarshalExtJSON(document, true, false)
	if err != nil {
		return nil, fmt.Errorf("options and indexes of %s: %w", c.NS, err)
	}
	stored, err := bson.Marshal(document)
	var back bson.Raw
	if err != nil || bson.UnmarshalExtJSON(text, true, &back) != nil || !bytes.Equal(back, stored) {
		return nil, pitr.Errorf(pitr.KindUnsupported, "write the options and indexes of "+c.NS.String(), "leave it out with --except, or choose --format ndjson",
			"they cannot be told in Extended JSON, which a dump has for them")
	}
	return text, nil
}
