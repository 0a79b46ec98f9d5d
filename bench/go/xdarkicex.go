// SPDX-License-Identifier: GPL-3.0-or-later

//go:build xdarkicex

package main

import peer "github.com/xDarkicex/slabby"

func init() {
	contestants = append(contestants, contestant{"xDarkicex/slabby Allocate", openPeer})
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
