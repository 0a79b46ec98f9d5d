// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"
)

// recordChunk is how many records one crossing fetches.
const recordChunk = 64

// AuditRecord is one operation of the audit trail (WithAudit). Ref is the 64-bit reference it
// concerns; for operations by id the id, for AuditOperationOptionChange the option.
type AuditRecord struct {
	Operation AuditOperation `json:"operation"`
	Sequence  uint64         `json:"sequence"`
	Time      time.Time      `json:"time"`
	Thread    uint64         `json:"thread"`
	Ref       uint64         `json:"ref"`
	Status    Status         `json:"status"`
	Binding   Binding        `json:"binding"`
}

// Event is one event as a logger gets it. Suppressed counts the events of the same code that were
// not reported since the last one.
type Event struct {
	Level      EventLevel `json:"level"`
	Sequence   uint64     `json:"sequence"`
	Time       time.Time  `json:"time"`
	Ref        uint64     `json:"ref"`
	Value      int64      `json:"value"`
	Code       EventCode  `json:"code"`
	Suppressed uint32     `json:"suppressed"`
	Text       string     `json:"text"`
	// Pool is the label of the pool, as in metrics.
	Pool string `json:"pool"`
}

// ReadAudit returns the audit records from a cursor on, which starts at 0; next is the cursor of
// the next call. lost counts those that were overwritten before they could be read. No records and
// no error mean that there is nothing more to read now. A pool without WithAudit answers
// ErrNotSupported.
func (p *Slabby) ReadAudit(cursor uint64) (records []AuditRecord, next, lost uint64, err error) {
	var raw [recordChunk]C.slabby_audit_record
	raw[0].struct_size = C.uint32_t(unsafe.Sizeof(raw[0]))
	var count, missed C.uint64_t
	at := C.uint64_t(cursor)
	status := C.slabby_audit_read(&raw[0], &count, &missed, &at, p.c(), recordChunk)
	runtime.KeepAlive(p)
	if Status(status) == StatusNotSupported {
		return nil, cursor, 0, &Error{Status: StatusNotSupported, Option: OptionAudit,
			Text: "this pool has no audit trail; make it with WithAudit"}
	}
	if status != 0 {
		return nil, cursor, 0, p.cursorError("ReadAudit", cursor, statusError(status))
	}
	for i := range raw[:count] {
		records = append(records, AuditRecord{
			Operation: AuditOperation(raw[i].operation),
			Sequence:  uint64(raw[i].sequence),
			Time:      time.Unix(0, int64(raw[i].time_ns)),
			Thread:    uint64(raw[i].thread),
			Ref:       uint64(raw[i].ref),
			Status:    Status(raw[i].status),
			Binding:   Binding(raw[i].binding),
		})
	}
	return records, uint64(at), uint64(missed), nil
}

// WriteAudit appends the audit records from a cursor on to a file, as JSON lines with chained
// digests that slabby-audit-check verifies; count is the number of complete records that were
// written, next the cursor of the next call. After an error, a call for the same file with next
// continues in the middle of the line that was cut.
func (p *Slabby) WriteAudit(file *os.File, cursor uint64) (count, next uint64, err error) {
	if p.c() == nil {
		return 0, cursor, noPool("WriteAudit")
	}
	if file == nil {
		return 0, cursor, &Error{Status: StatusInvalidArgument, cause: os.ErrInvalid,
			Text: "WriteAudit: the file is nil; open one with os.Create"}
	}
	raw := newRawError()
	var written C.uint64_t
	at := C.uint64_t(cursor)
	connection, err := file.SyscallConn()
	if err != nil {
		return 0, cursor, err
	}
	var status C.slabby_status
	err = connection.Control(func(fd uintptr) {
		status = C.slabby_audit_write(&written, &at, p.c(), C.int32_t(fd), &raw)
	})
	runtime.KeepAlive(p)
	if err == nil {
		err = detailedError(status, &raw)
	}
	return uint64(written), uint64(at), err
}

// ReadEvents returns the events from a cursor on, as ReadAudit does records. The last 256 are kept.
func (p *Slabby) ReadEvents(cursor uint64) (events []Event, next, lost uint64, err error) {
	events, next, lost, err = readEvents(p.c(), cursor)
	runtime.KeepAlive(p)
	return events, next, lost, p.cursorError("ReadEvents", cursor, err)
}

// cursorError says what is wrong with a cursor that the core refused, the only argument of such a call.
func (p *Slabby) cursorError(call string, cursor uint64, err error) error {
	if p == nil || err != ErrInvalidArgument {
		return p.of(call, err)
	}
	return &Error{Status: StatusInvalidArgument, cause: err, Text: fmt.Sprintf(
		"%s: the cursor is %d, beyond the newest record; pass 0, or what an earlier call for this pool returned",
		call, cursor)}
}

func readEvents(handle *C.slabby_allocator, cursor uint64) (events []Event, next, lost uint64, err error) {
	raw := make([]C.slabby_event, recordChunk)
	raw[0].struct_size = C.uint32_t(unsafe.Sizeof(raw[0]))
	var count, missed C.uint64_t
	at := C.uint64_t(cursor)
	if status := C.slabby_events_read(&raw[0], &count, &missed, &at, handle, recordChunk); status != 0 {
		return nil, cursor, 0, statusError(status)
	}
	for i := range raw[:count] {
		events = append(events, eventOf(&raw[i]))
	}
	return events, uint64(at), uint64(missed), nil
}

func eventOf(raw *C.slabby_event) Event {
	return Event{
		Level:      EventLevel(raw.level),
		Sequence:   uint64(raw.sequence),
		Time:       time.Unix(0, int64(raw.time_ns)),
		Ref:        uint64(raw.ref),
		Value:      int64(raw.value),
		Code:       EventCode(raw.code),
		Suppressed: uint32(raw.suppressed),
		Text:       C.GoString(&raw.text[0]),
		Pool:       C.GoString(&raw.pool[0]),
	}
}

// LogEvents passes the events that the core has reported to the logger of WithLogger now, and
// returns their number. The logger gets events without this call too, a moment after they happen:
// this is for callers that want them in the log before they continue. Without a logger it does
// nothing. It waits for the pool's handler to return, so a handler must not call it for its own
// pool.
func (p *Slabby) LogEvents(ctx context.Context) (logged int, err error) {
	if p == nil {
		return 0, noPool("LogEvents")
	}
	if p.log == nil {
		return 0, nil
	}
	logged, err = p.log.logNew(ctx)
	runtime.KeepAlive(p)
	return logged, err
}
