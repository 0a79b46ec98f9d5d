module github.com/slabby/slabby/tests/conformance/go

go 1.24

require github.com/slabby/slabby/go v0.1.0

replace github.com/slabby/slabby/go => ../../../go
