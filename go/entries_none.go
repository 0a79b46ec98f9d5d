// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && (!linux || !amd64 || slabby_noseq || slabby_nopin)

package slabby

// What calls do first, where there is no assembly.

func allocate(p *Slabby) (SlabRef, error)           { return p.allocateLeased() }
func attempt(*Slabby) SlabRef                       { return SlabRef{} }
func allocateFast(p *Slabby) ([]byte, int32, error) { return p.allocateFastAside() }
func deallocateFast(p *Slabby, slabID int32) error  { return p.deallocateFastAside(slabID) }
func getBytes(r SlabRef) []byte                     { return r.getBytesAside() }
func release(r SlabRef) error                       { return r.releaseAside() }
func (*hot) sequenced() bool                        { return false }
