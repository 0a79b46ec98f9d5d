# SPDX-License-Identifier: GPL-3.0-or-later
# Perl drives a pool through swig/slabby.i: numbers of 64 bits, bytes, records, errors.
use strict;
use warnings;
use slabby;

sub expect {
    my ($what, $found, $wanted) = @_;
    die "$what: found $found, wanted $wanted\n" if $found ne $wanted;
}

sub create {
    my ($status, $pool) = slabby::create(4096, 8, undef, undef);
    expect("create", $status, $slabby::SLABBY_OK);
    return $pool;
}

# Tags grow with each pool, so that refs of the later ones have their top bit set.
my $pool;
for (1 .. 2100) {
    expect("destroy", slabby::destroy($pool), 0) if defined $pool;
    $pool = create();
}
my ($status, $ref, $data) = slabby::allocate($pool);
expect("allocate", $status, 0);
expect("its top bit is set", $ref >> 63, 1);
expect("is_valid", slabby::is_valid($pool, $ref), 1);

slabby::write_bytes($data, 100, "a\0b\xff");
my (undef, $again) = slabby::data($pool, $ref);
expect("bytes", slabby::read_bytes($again, 99, 6), "\0a\0b\xff\0");

expect("set_label", slabby::set_label($pool, $ref, 18446744073709551614), 0);
my (undef, $label) = slabby::get_label($pool, $ref);
expect("label", $label, 18446744073709551614);

my $refs = slabby::new_numbers(7);
expect("allocate_batch", slabby::allocate_batch($refs, $pool, 7), 0);
expect("exhausted", (slabby::allocate($pool))[0], $slabby::SLABBY_OUT_OF_MEMORY);
expect("one of the batch", slabby::is_valid($pool, slabby::numbers_getitem($refs, 6)), 1);
my $stats = slabby::stats->new();
expect("get_stats", slabby::get_stats($stats, $pool), 0);
expect("used_slabs", $stats->{used_slabs}, 8);
expect("utilisation", $stats->{memory_utilization}, 1);
my ($released, $count, $cursor);
($status, $released) = slabby::release_batch($pool, $refs, 7);
expect("release_batch", $status, 0);
expect("released", $released, 7);
slabby::delete_numbers($refs);

my $live = slabby::live->new();
($status, $count, $cursor) = slabby::live_next($live, 0, $pool);
expect("live_next", $status, 0);
expect("one is out", $count, 1);
expect("which", $live->{ref}, $ref);
($status, $count) = slabby::live_next($live, $cursor, $pool);
expect("the end", $count, 0);

expect("release", slabby::release($pool, $ref), 0);
expect("release again", slabby::status_name(slabby::release($pool, $ref)), "DoubleDeallocation");
my (undef, $text) = slabby::explain($pool, $ref, $slabby::SLABBY_USE_AFTER_FREE);
expect("explain", $text =~ /^UseAfterFree: / ? 1 : 0, 1);

my $findings = slabby::findings_new(4);
($status, $count) = slabby::verify($findings, $pool, 4);
expect("verify", $status, 0);
expect("findings", $count, 0);
slabby::findings_delete($findings);

my $wrong = slabby::error->new();
expect("a size of 0", (slabby::create(0, 8, undef, $wrong))[0], $slabby::SLABBY_INVALID_SLAB_SIZE);
expect("its text", $wrong->{text} =~ /slab size 0/ ? 1 : 0, 1);
expect("destroy", slabby::destroy($pool), 0);
print "perl: passed\n";
