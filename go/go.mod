module github.com/slabby/slabby/go

go 1.24
