// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// Every event of the core reaches the logger once.
func TestEventsReachTheLogger(t *testing.T) {
	var out lockedBuffer
	pool := newPool(t, 64, 1, slabby.WithName("orders"),
		slabby.WithLogger(slog.New(slog.NewJSONHandler(&out, nil))))
	ref := mustAllocate(t, pool)
	if _, err := pool.Allocate(); !errors.Is(err, slabby.ErrOutOfMemory) {
		t.Fatalf("Allocate: %v", err)
	}
	wantError(t, "SetOption", pool.SetOption(slabby.OptionSecure, 1), nil)
	if _, err := pool.LogEvents(context.Background()); err != nil {
		t.Error(err)
	}
	if logged, err := pool.LogEvents(context.Background()); logged != 0 || err != nil {
		t.Errorf("LogEvents once more: %d, %v", logged, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	wants := []string{"opened", "exhausted", "option_changed"}
	if len(lines) != len(wants) {
		t.Fatalf("logged %q", lines)
	}
	for i, line := range lines {
		var entry struct{ Level, Msg, Event string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Event != wants[i] || !strings.Contains(entry.Msg, `"orders"`) ||
			(entry.Level == "WARN") != (wants[i] == "exhausted") {
			t.Errorf("line %d is %s, want %s", i, line, wants[i])
		}
	}
	mustRelease(t, ref)
}

// The audit trail names what was done from Go, and a written trail goes on where it stopped.
func TestAudit(t *testing.T) {
	pool := newPool(t, 64, 4, slabby.WithAudit(64))
	ref := mustAllocate(t, pool)
	mustRelease(t, ref)
	if err := ref.Release(); !errors.Is(err, slabby.ErrDoubleDeallocation) {
		t.Fatalf("Release: %v", err)
	}
	records, next, lost, err := pool.ReadAudit(0)
	wants := []slabby.AuditOperation{slabby.AuditOperationCreate, slabby.AuditOperationAllocate,
		slabby.AuditOperationRelease, slabby.AuditOperationRelease}
	if err != nil || lost != 0 || next != 4 || len(records) != len(wants) {
		t.Fatalf("ReadAudit: %v, %d, %d, %v", records, next, lost, err)
	}
	for i, record := range records {
		if record.Operation != wants[i] || record.Binding != slabby.BindingGo ||
			record.Sequence != uint64(i) || record.Thread == 0 {
			t.Errorf("record %d is %+v", i, record)
		}
	}
	if records[3].Status != slabby.StatusDoubleDeallocation || records[3].Ref != records[1].Ref {
		t.Errorf("the refused release is %+v", records[3])
	}

	name := filepath.Join(t.TempDir(), "trail")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cursor := uint64(0)
	for _, want := range []uint64{4, 0, 2} {
		count, next, err := pool.WriteAudit(file, cursor)
		if count != want || err != nil {
			t.Errorf("WriteAudit: %d, %v; want %d", count, err, want)
		}
		cursor = next
		if want == 0 {
			mustRelease(t, mustAllocate(t, pool))
		}
	}
	content, err := os.ReadFile(name)
	if err != nil || bytes.Count(content, []byte("\n")) != 7 {
		t.Errorf("the file holds %s, %v", content, err)
	}
}

// Without the option there is no trail, and a bad cursor is refused.
func TestAuditRefusals(t *testing.T) {
	pool := newPool(t, 64, 4)
	if _, _, _, err := pool.ReadAudit(0); !errors.Is(err, slabby.ErrNotSupported) {
		t.Errorf("ReadAudit: %v", err)
	}
	if _, _, err := pool.WriteAudit(os.Stderr, 0); !errors.Is(err, slabby.ErrNotSupported) {
		t.Errorf("WriteAudit: %v", err)
	}
	_, _, err := pool.WriteAudit(nil, 0)
	if !errors.Is(err, slabby.ErrInvalidArgument) || !errors.Is(err, os.ErrInvalid) {
		t.Errorf("WriteAudit to a nil file: %v", err)
	}
	if _, next, _, err := pool.ReadEvents(99); next != 99 || !errors.Is(err, slabby.ErrInvalidArgument) {
		t.Errorf("ReadEvents: %d, %v", next, err)
	}
}
