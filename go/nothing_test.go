// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// argument is something harmless for a parameter of any method.
func argument(kind reflect.Type) reflect.Value {
	context, discard := context.Background(), io.Discard
	for _, value := range []any{context, discard} {
		if kind.Kind() == reflect.Interface && reflect.TypeOf(value).Implements(kind) && kind.NumMethod() > 0 {
			return reflect.ValueOf(value)
		}
	}
	if kind.Kind() == reflect.Func {
		return reflect.MakeFunc(kind, func([]reflect.Value) []reflect.Value {
			results := make([]reflect.Value, kind.NumOut())
			for at := range results {
				results[at] = reflect.Zero(kind.Out(at))
			}
			return results
		})
	}
	return reflect.Zero(kind)
}

// hotCalls answer the sentinel itself.
var hotCalls = []string{"Allocate", "AllocateBatch", "AllocateBatchBytes", "AllocateContext", "AllocateFast",
	"AllocateWithTimeout", "BatchAllocate", "BatchDeallocate", "Copy", "Deallocate", "DeallocateBatch", "DeallocateFast",
	"RefOfBytes", "ReleaseBytes"}

// checkError expects that an error of a pool's method is this package's, and names the call.
func checkError(t *testing.T, nothing any, method string, results []reflect.Value) {
	if _, pool := nothing.(*slabby.Slabby); !pool || len(results) == 0 {
		return
	}
	err, _ := results[len(results)-1].Interface().(error)
	if err == nil {
		return
	}
	var described *slabby.Error
	if !errors.As(err, &described) {
		t.Errorf("%v is a %T", err, err)
	} else if !slices.Contains(hotCalls, method) && !strings.Contains(described.Text, method) {
		t.Errorf("does not name the call: %v", err)
	}
}

// No method of a pool that was never made, or of a reference that was never issued, crashes; those whose
// last result is an error answer one, unless there is nothing to do.
func TestMethodsOfNothing(t *testing.T) {
	panics := map[string]bool{"MustAllocate": true, "GetBytes": true}
	for name, nothing := range map[string]any{
		"nil": (*slabby.Slabby)(nil), "Slabby{}": &slabby.Slabby{},
		"SlabRef{}": slabby.SlabRef{}, "SlabRef of Slabby{}": (&slabby.Slabby{}).RefOf(12345),
	} {
		value := reflect.ValueOf(nothing)
		for at := range value.NumMethod() {
			method := value.Type().Method(at).Name
			t.Run(name+"."+method, func(t *testing.T) {
				defer func() {
					problem := recover()
					if _, described := problem.(*slabby.Error); problem != nil && (!described || !panics[method]) {
						t.Errorf("panics: %v", problem)
					}
				}()
				kind := value.Method(at).Type()
				var arguments []reflect.Value
				for in := range kind.NumIn() {
					if !kind.IsVariadic() || in < kind.NumIn()-1 {
						arguments = append(arguments, argument(kind.In(in)))
					}
				}
				checkError(t, nothing, method, value.Method(at).Call(arguments))
				if panics[method] {
					t.Error("did not panic")
				}
			})
		}
	}
}
