// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && !slabby_no_records

package slabbyarrow_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Guards: records built, sliced, written and read at once by several goroutines are right, and everything
// that was allocated is freed.
func TestRecords(t *testing.T) {
	small, large := newPool(t, 1024, 64), newPool(t, 64<<10, 64)
	checked := memory.NewCheckedAllocator(newAllocator(t, small, large))
	defer checked.AssertSize(t, 0)
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "number", Type: arrow.PrimitiveTypes.Int64},
		{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for rows := 1; rows < 4000; rows = rows*2 + worker {
				if err := roundTrip(checked, schema, rows, worker); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
	if used(small, large) != 0 {
		t.Errorf("%d slabs left", used(small, large))
	}
	if small.Stats().TotalAllocations == 0 || large.Stats().TotalAllocations == 0 {
		t.Error("a pool was never used")
	}
}

// roundTrip writes a record as a stream and reads it back.
func roundTrip(allocator memory.Allocator, schema *arrow.Schema, rows, worker int) error {
	builder := array.NewRecordBuilder(allocator, schema)
	defer builder.Release()
	for row := range rows {
		builder.Field(0).(*array.Int64Builder).Append(int64(row * worker))
		if row%7 == 0 {
			builder.Field(1).AppendNull()
		} else {
			builder.Field(1).(*array.StringBuilder).Append(fmt.Sprint("row ", row, " of ", worker))
		}
	}
	record := builder.NewRecordBatch()
	defer record.Release()
	var stream bytes.Buffer
	writer := ipc.NewWriter(&stream, ipc.WithSchema(schema), ipc.WithAllocator(allocator))
	if err := errors.Join(writer.Write(record), writer.Close()); err != nil {
		return err
	}
	reader, err := ipc.NewReader(&stream, ipc.WithAllocator(allocator))
	if err != nil {
		return err
	}
	defer reader.Release()
	if !reader.Next() || !array.RecordEqual(record, reader.RecordBatch()) {
		return fmt.Errorf("%d rows of worker %d came back wrong: %v", rows, worker, reader.Err())
	}
	part := record.NewSlice(int64(rows/2), int64(rows))
	defer part.Release()
	if numbers := part.Column(0).(*array.Int64); numbers.Value(0) != int64(rows/2*worker) {
		return fmt.Errorf("a slice begins with %d", numbers.Value(0))
	}
	return nil
}
