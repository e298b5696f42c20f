package function

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

var dateFunctions = map[string]Function{
	"$year":           datePart(func(t time.Time) int { return t.Year() }),
	"$month":          datePart(func(t time.Time) int { return int(t.Month()) }),
	"$dayOfMonth":     datePart(func(t time.Time) int { return t.Day() }),
	"$dayOfYear":      datePart(func(t time.Time) int { return t.YearDay() }),
	"$dayOfWeek":      datePart(func(t time.Time) int { return int(t.Weekday()) + 1 }),
	"$hour":           datePart(func(t time.Time) int { return t.Hour() }),
	"$minute":         datePart(func(t time.Time) int { return t.Minute() }),
	"$second":         datePart(func(t time.Time) int { return t.Second() }),
	"$millisecond":    datePart(func(t time.Time) int { return t.Nanosecond() / 1e6 }),
	"$week":           datePart(week),
	"$isoWeek":        datePart(func(t time.Time) int { _, w := t.ISOWeek(); return w }),
	"$isoWeekYear":    datePart(func(t time.Time) int { y, _ := t.ISOWeek(); return y }),
	"$isoDayOfWeek":   datePart(isoWeekday),
	"$dateToString":   {Fields: []string{"date!", "format", "timezone", "onNull"}, Call: dateToString},
	"$dateFromString": {Fields: []string{"dateString!", "format", "timezone", "onError", "onNull"}, Call: dateFromString},
	"$dateFromParts":  {Fields: []string{"year!", "month", "day", "hour", "minute", "second", "millisecond", "timezone"}, Call: dateFromParts},
	"$dateToParts":    {Fields: []string{"date!", "timezone", "iso8601"}, Call: dateToParts},
	"$dateAdd":        {Fields: []string{"startDate!", "unit!", "amount!", "timezone"}, Call: dateShift(1)},
	"$dateSubtract":   {Fields: []string{"startDate!", "unit!", "amount!", "timezone"}, Call: dateShift(-1)},
	"$dateDiff":       {Fields: []string{"startDate!", "endDate!", "unit!", "timezone", "startOfWeek"}, Call: dateDiff},
	"$dateTrunc":      {Fields: []string{"date!", "unit!", "binSize", "timezone", "startOfWeek"}, Call: dateTrunc},
	"$tsSecond":       one(func(v value.Value) (value.Value, error) { return timestampPart("$tsSecond", v, 4) }),
	"$tsIncrement":    one(func(v value.Value) (value.Value, error) { return timestampPart("$tsIncrement", v, 0) }),
}

func isoWeekday(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

func week(t time.Time) int { return (t.YearDay() + 6 - int(t.Weekday())) / 7 }

func timestampPart(name string, v value.Value, at int) (value.Value, error) {
	if v.Nullish() {
		return value.Null(), nil
	}
	if v.Type != bson.TypeTimestamp {
		return v, value.Errorf(5687301, "Argument to %s must be a timestamp, but is %s", name, value.TypeName(v.Type))
	}
	return value.Int64(int64(binary.LittleEndian.Uint32(v.Data[at:]))), nil
}

// instant takes a date, timestamp or object id as a moment.
func instant(v value.Value) (time.Time, error) {
	switch v.Type {
	case bson.TypeDateTime:
		return time.UnixMilli(v.Int()).UTC(), nil
	case bson.TypeTimestamp:
		return time.Unix(int64(binary.LittleEndian.Uint32(v.Data[4:])), 0).UTC(), nil
	case bson.TypeObjectID:
		return time.Unix(int64(binary.BigEndian.Uint32(v.Data)), 0).UTC(), nil
	}
	return time.Time{}, value.Errorf(16006, "can't convert from BSON type %s to Date", value.TypeName(v.Type))
}

func zone(v value.Value) (*time.Location, error) {
	if v.Nullish() {
		return time.UTC, nil
	}
	if v.Type != bson.TypeString {
		return nil, value.Errorf(40533, "timezone must evaluate to a string, found %s", value.TypeName(v.Type))
	}
	name := v.Str()
	for _, layout := range []string{"-07:00", "-0700", "-07"} {
		if t, err := time.Parse(layout, name); err == nil {
			_, offset := t.Zone()
			return time.FixedZone(name, offset), nil
		}
	}
	if name == "Local" || name == "" {
		return nil, value.Errorf(40485, "unrecognized time zone identifier: \"%s\"", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, value.Errorf(40485, "unrecognized time zone identifier: \"%s\"", name)
	}
	return loc, nil
}

// zoned reads a date under a time zone; null arguments give done.
func zoned(date, tz value.Value) (t time.Time, done bool, err error) {
	if date.Nullish() || tz.Nullish() && tz.Exists() {
		return t, true, nil
	}
	loc, err := zone(tz)
	if err != nil {
		return t, true, err
	}
	t, err = instant(date)
	return t.In(loc), err != nil, err
}

func datePart(f func(time.Time) int) Function {
	return Function{Least: 1, Most: 1, Call: func(args values) (value.Value, error) {
		date, tz := args[0], value.Value{}
		if d := date.Document(); date.Type == bson.TypeEmbeddedDocument {
			date, tz = value.Field(d, "date"), value.Field(d, "timezone")
		}
		t, done, err := zoned(date, tz)
		if done {
			return value.Null(), err
		}
		return value.Int32(int32(f(t))), nil
	}}
}

const isoFormat = "%Y-%m-%dT%H:%M:%S.%LZ"

func dateToString(args values) (value.Value, error) {
	t, done, err := zoned(args[0], args[2])
	if done {
		if err == nil && args[3].Exists() {
			return args[3], nil
		}
		return value.Null(), err
	}
	format := isoFormat
	switch {
	case args[1].Type == bson.TypeString:
		format = args[1].Str()
	case args[1].Nullish() && args[1].Exists():
		return value.Null(), nil
	case !args[1].Exists() && args[2].Exists() && args[2].Str() != "UTC":
		format = strings.TrimSuffix(isoFormat, "Z")
	}
	s, err := formatDate(t, format)
	return value.String(s), err
}

func formatDate(t time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		if i++; i == len(format) {
			return "", value.Errorf(18535, "Unmatched '%%' at end of format string")
		}
		y, w := t.ISOWeek()
		_, offset := t.Zone()
		switch format[i] {
		case '%':
			b.WriteByte('%')
		case 'Y':
			fmt.Fprintf(&b, "%04d", t.Year())
		case 'm':
			fmt.Fprintf(&b, "%02d", t.Month())
		case 'd':
			fmt.Fprintf(&b, "%02d", t.Day())
		case 'H':
			fmt.Fprintf(&b, "%02d", t.Hour())
		case 'M':
			fmt.Fprintf(&b, "%02d", t.Minute())
		case 'S':
			fmt.Fprintf(&b, "%02d", t.Second())
		case 'L':
			fmt.Fprintf(&b, "%03d", t.Nanosecond()/1e6)
		case 'j':
			fmt.Fprintf(&b, "%03d", t.YearDay())
		case 'w':
			b.WriteString(strconv.Itoa(int(t.Weekday()) + 1))
		case 'u':
			b.WriteString(strconv.Itoa(isoWeekday(t)))
		case 'U':
			fmt.Fprintf(&b, "%02d", week(t))
		case 'V':
			fmt.Fprintf(&b, "%02d", w)
		case 'G':
			fmt.Fprintf(&b, "%04d", y)
		case 'b':
			b.WriteString(t.Month().String()[:3])
		case 'B':
			b.WriteString(t.Month().String())
		case 'z':
			b.WriteString(t.Format("-0700"))
		case 'Z':
			fmt.Fprintf(&b, "%+d", offset/60)
		default:
			return "", value.Errorf(18536, "Invalid format character '%%%c' in format string", format[i])
		}
	}
	return b.String(), nil
}

var parseLayouts = []string{
	"2006-01-02T15:04:05.999Z07:00", "2006-01-02T15:04:05.999Z0700", "2006-01-02T15:04:05.999", "2006-01-02 15:04:05.999Z07:00",
	"2006-01-02 15:04:05.999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
}

func parseDate(s string, loc *time.Location) (time.Time, error) {
	for _, layout := range parseLayouts {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, value.Errorf(value.ConversionFailure, "Error parsing date string '%s'", s)
}

func dateFromString(args values) (value.Value, error) {
	if args[0].Nullish() {
		if args[4].Exists() {
			return args[4], nil
		}
		return value.Null(), nil
	}
	if args[1].Exists() && !args[1].Nullish() {
		return args[1], value.Errorf(value.NotImplemented, "$dateFromString with a format is not simulated")
	}
	loc, err := zone(args[2])
	if err != nil {
		return args[2], err
	}
	if args[0].Type != bson.TypeString {
		err = value.Errorf(value.ConversionFailure, "$dateFromString requires that 'dateString' be a string, found: %s with value %s",
			value.TypeName(args[0].Type), value.Text(args[0]))
	}
	t, parseErr := parseDate(args[0].Str(), loc)
	if err == nil {
		err = parseErr
	}
	if err != nil {
		if args[3].Exists() {
			return args[3], nil
		}
		return args[0], err
	}
	return value.Date(t.UnixMilli()), nil
}

func dateFromParts(args values) (value.Value, error) {
	n := [7]int{0, 1, 1, 0, 0, 0, 0}
	for i := range n {
		if !args[i].Exists() {
			continue
		}
		if args[i].Nullish() {
			return value.Null(), nil
		}
		x, whole := args[i].Whole()
		if !whole || x < -32768 || x > 32767 {
			return args[i], value.Errorf(40515, "'%s' must evaluate to an integer, found %s with value %s",
				[7]string{"year", "month", "day", "hour", "minute", "second", "millisecond"}[i], value.TypeName(args[i].Type), value.Text(args[i]))
		}
		n[i] = int(x)
	}
	if n[0] < 1 || n[0] > 9999 {
		return args[0], value.Errorf(40523, "'year' must evaluate to an integer in the range 1 to 9999, found %d", n[0])
	}
	loc, err := zone(args[7])
	if err != nil {
		return args[7], err
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6]*1e6, loc)
	return value.Date(t.UnixMilli()), nil
}

func dateToParts(args values) (value.Value, error) {
	t, done, err := zoned(args[0], args[1])
	if done {
		return value.Null(), err
	}
	b, at := value.Begin(nil)
	add := func(name string, n int) { b = value.Append(b, name, value.Int32(int32(n))) }
	if args[2].Truth() {
		y, w := t.ISOWeek()
		add("isoWeekYear", y)
		add("isoWeek", w)
		add("isoDayOfWeek", isoWeekday(t))
	} else {
		add("year", t.Year())
		add("month", int(t.Month()))
		add("day", t.Day())
	}
	add("hour", t.Hour())
	add("minute", t.Minute())
	add("second", t.Second())
	add("millisecond", t.Nanosecond()/1e6)
	return value.Doc(value.End(b, at)), nil
}

// fixedUnits are units of a fixed length.
var fixedUnits = map[string]time.Duration{
	"millisecond": time.Millisecond, "second": time.Second, "minute": time.Minute, "hour": time.Hour,
}

// monthUnits are units of whole months.
var monthUnits = map[string]int{"month": 1, "quarter": 3, "year": 12}

func unitOf(name string, v value.Value) (string, error) {
	u := v.Str()
	if v.Type == bson.TypeString && (fixedUnits[u] != 0 || monthUnits[u] != 0 || u == "day" || u == "week") {
		return u, nil
	}
	return "", value.Errorf(value.FailedToParse, "%s parameter 'unit' value cannot be recognized as a time unit: %s", name, value.Text(v))
}

func dateShift(sign int) func(values) (value.Value, error) {
	name := map[int]string{1: "$dateAdd", -1: "$dateSubtract"}[sign]
	return func(args values) (value.Value, error) {
		if args[1].Nullish() || args[2].Nullish() {
			return value.Null(), nil
		}
		t, done, err := zoned(args[0], args[3])
		if done {
			return value.Null(), err
		}
		unit, err := unitOf(name, args[1])
		if err != nil {
			return args[1], err
		}
		n, whole := args[2].Whole()
		if !whole {
			return args[2], value.Errorf(5166405, "%s expects integer amount of time units", name)
		}
		n *= int64(sign)
		switch {
		case fixedUnits[unit] != 0:
			return value.Date(t.UnixMilli() + n*fixedUnits[unit].Milliseconds()), nil
		case unit == "day":
			t = t.AddDate(0, 0, int(n))
		case unit == "week":
			t = t.AddDate(0, 0, int(n)*7)
		default:
			t = addMonths(t, int(n)*monthUnits[unit])
		}
		return value.Date(t.UnixMilli()), nil
	}
}

// addMonths keeps the day, or takes the last one of a shorter month.
func addMonths(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

var weekdays = map[string]int{
	"monday": 1, "mon": 1, "tuesday": 2, "tue": 2, "wednesday": 3, "wed": 3, "thursday": 4, "thu": 4, "friday": 5, "fri": 5,
	"saturday": 6, "sat": 6, "sunday": 0, "sun": 0,
}

// days counts days since 1970 on the calendar of t's zone.
func days(t time.Time) int64 {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400
}

// weekIndex counts weeks that begin on the given weekday; 1970-01-01 was a Thursday.
func weekIndex(t time.Time, start int) int64 { return floorDiv(days(t)+4-int64(start), 7) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func dateDiff(args values) (value.Value, error) {
	a, done, err := zoned(args[0], args[3])
	if done || args[2].Nullish() {
		return value.Null(), err
	}
	b, done, err := zoned(args[1], args[3])
	if done {
		return value.Null(), err
	}
	unit, err := unitOf("$dateDiff", args[2])
	if err != nil {
		return args[2], err
	}
	switch d := fixedUnits[unit]; {
	case d != 0:
		ms := d.Milliseconds()
		return value.Int64(floorDiv(b.UnixMilli(), ms) - floorDiv(a.UnixMilli(), ms)), nil
	case unit == "day":
		return value.Int64(days(b) - days(a)), nil
	case unit == "week":
		start := weekdays[strings.ToLower(args[4].Str())]
		return value.Int64(weekIndex(b, start) - weekIndex(a, start)), nil
	}
	months := func(t time.Time) int64 {
		return floorDiv(int64(t.Year())*12+int64(t.Month())-1, int64(monthUnits[unit]))
	}
	return value.Int64(months(b) - months(a)), nil
}

// truncEpoch is where the bins of $dateTrunc begin.
var truncEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func dateTrunc(args values) (value.Value, error) {
	t, done, err := zoned(args[0], args[3])
	if done || args[1].Nullish() {
		return value.Null(), err
	}
	unit, err := unitOf("$dateTrunc", args[1])
	if err != nil {
		return args[1], err
	}
	bin := int64(1)
	if args[2].Exists() {
		var whole bool
		if bin, whole = args[2].Whole(); !whole || bin < 1 {
			return args[2], value.Errorf(5439018, "$dateTrunc requires 'binSize' value to be greater than 0, got value %s", value.Text(args[2]))
		}
	}
	day := func(n int64) value.Value {
		return value.Date(time.Date(2000, 1, 1+int(n), 0, 0, 0, 0, t.Location()).UnixMilli())
	}
	epochDay := days(truncEpoch)
	switch d := fixedUnits[unit]; {
	case d != 0:
		_, offset := t.Zone()
		ms := d.Milliseconds() * bin
		base := truncEpoch.UnixMilli() - int64(offset)*1000
		return value.Date(base + floorDiv(t.UnixMilli()-base, ms)*ms), nil
	case unit == "day":
		return day(floorDiv(days(t)-epochDay, bin) * bin), nil
	case unit == "week":
		start := weekdays[strings.ToLower(args[4].Str())]
		first := epochDay + (int64(start)-6+7)%7 // 2000-01-01 was a Saturday
		n := floorDiv(days(t)-first, 7*bin) * 7 * bin
		return day(n + first - epochDay), nil
	}
	size := int64(monthUnits[unit]) * bin
	n := floorDiv(int64(t.Year()-2000)*12+int64(t.Month())-1, size) * size
	return value.Date(time.Date(2000, time.Month(1+n), 1, 0, 0, 0, 0, t.Location()).UnixMilli()), nil
}
