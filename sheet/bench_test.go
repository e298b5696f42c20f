package sheet_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"pitr/sheet"
)

// reviewLike is a table as a review file is one: 100,000 rows of 30 cells.
const benchRows, benchColumns = 100_000, 30

func fill(b *testing.B, table sheet.Table) {
	b.Helper()
	cells := make([]sheet.Cell, benchColumns)
	for row := range benchRows {
		for i := range cells {
			cells[i] = sheet.TextCell(fmt.Sprintf("value %d of row %d", i, row))
		}
		cells[0], cells[1], cells[2] = sheet.TextCell(fmt.Sprintf("token%011d", row)), sheet.TextCell("put back"), sheet.IntCell(int64(row))
		must(b, table.Row(cells))
	}
	must(b, table.Close())
}

func benchColumnsOf() []sheet.Column {
	columns := make([]sheet.Column, benchColumns)
	for i := range columns {
		columns[i].Name = fmt.Sprintf("column %d", i)
	}
	columns[0].Name, columns[1].Name = "token", "decision"
	return columns
}

func BenchmarkWriteCSV(b *testing.B) {
	for b.Loop() {
		table, err := sheet.NewCSV(io.Discard, benchColumnsOf(), sheet.CSVOptions{})
		must(b, err)
		fill(b, table)
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkWriteExcel(b *testing.B) {
	for b.Loop() {
		table, err := sheet.NewExcel(io.Discard, benchColumnsOf(), sheet.ExcelOptions{})
		must(b, err)
		fill(b, table)
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkReadExcel(b *testing.B) {
	var file bytes.Buffer
	table, err := sheet.NewExcel(&file, benchColumnsOf(), sheet.ExcelOptions{})
	must(b, err)
	fill(b, table)
	for b.Loop() {
		rows := 0
		for _, err := range sheet.Read(file.Bytes()) {
			must(b, err)
			rows++
		}
		if rows != benchRows+1 {
			b.Fatal(rows)
		}
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}
