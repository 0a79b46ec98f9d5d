// SPDX-License-Identifier: GPL-3.0-or-later

//go:build xdarkicex

package main

import peer "github.com/xDarkicex/slabby"

// dev.d/bench-go copies this file for each commit of that library and renames what is called peer, and its values.
const (
	peerName = "xDarkicex/slabby"
	peerMost = 1.0
)

func init() {
	contestants = append(contestants, contestant{peerName + " Allocate", openPeer})
	peerBars = append(peerBars, peerBar{"Allocate, GetBytes, Release / " + peerName, pairsPeer, peerMost})
}

type peerRefs struct {
	pool *peer.Slabby
	held [mostHeld]*peer.SlabRef
}

func openPeer(size int) (func() worker, func() error, error) {
	pool, err := peer.New(size, 1000)
	if err != nil {
		return nil, nil, err
	}
	return func() worker { return &peerRefs{pool: pool} }, pool.Close, nil
}

func (p *peerRefs) take(entry int) (err error) {
	p.held[entry], err = p.pool.Allocate()
	if err == nil {
		p.held[entry].GetBytes()[0] = 1
	}
	return err
}

func (p *peerRefs) give(entry int) error {
	return p.held[entry].Release()
}

// pairsPeer has the loop of pairs of its own: by an interface or a type parameter each call would be indirect, which
// costs more than the difference to measure.
func pairsPeer() (work func(int) error, end func() error, err error) {
	pool, err := peer.New(barSize, 10_000)
	if err != nil {
		return nil, nil, err
	}
	return func(operations int) error {
		for range operations {
			ref, err := pool.Allocate()
			if err != nil {
				return err
			}
			ref.GetBytes()[0] = 1
			if err := ref.Release(); err != nil {
				return err
			}
		}
		return nil
	}, pool.Close, nil
}
