# SPDX-License-Identifier: GPL-3.0-or-later
# Runs conformance programs (LANGUAGE.md) from standard input over swig/slabby.i; prints their traces.
use strict;
use warnings;
use Compress::Raw::Zlib qw(crc32);
use slabby;

use constant { UNSET => '{"status":"-"}', CHUNK => 256 };

# ------------------------------------------------------------------------------------------ words

# The codes of the header whose names begin with a prefix: word by number.
sub words {
    my ($prefix) = @_;
    no strict 'refs';
    my %found;
    for my $name (keys %slabby::) {
        $found{ ${"slabby::$name"} } = lc $1 if $name =~ /^$prefix(.+)$/;
    }
    return %found;
}

my %operations     = words("SLABBY_AUDIT_OPERATION_");
my %breaker_states = words("SLABBY_BREAKER_STATE_");
my %degradation_states = words("SLABBY_DEGRADATION_STATE_");
my %pool_states    = words("SLABBY_POOL_STATE_");
my %event_codes    = words("SLABBY_EVENT_CODE_");
my %options        = reverse words("SLABBY_OPTION_");
my %statuses       = map { slabby::status_name(-$_) => -$_ } 0 .. 63;
my %unprinted      = map { $_ => 1 } qw(create retain destroy abandon);

# ------------------------------------------------------------------------------- numbers, bytes, lines

sub ppm { return int($_[0] * 1e6 + 0.5) }

my $period = join "", map { chr } 0 .. 250;

sub pattern {
    my ($seed, $size) = @_;
    my $start = $seed % 251;
    return substr $period x (int(($start + $size) / 251) + 1), $start, $size;
}

sub only { return '{"status":"' . slabby::status_name($_[0]) . '"}' }

# The line of a status; the members, as "key":value texts, only after OK.
sub answer {
    my ($status, @members) = @_;
    return only($status) if $status;
    return "{" . join(",", '"status":"OK"', @members) . "}";
}

sub member { return qq("$_[0]":$_[1]) }
sub truth  { return qq("$_[0]":) . ($_[1] ? "true" : "false") }

sub object {
    my (%tally) = @_;
    return "{" . join(",", map { member($_, $tally{$_}) } sort keys %tally) . "}";
}

# A sum of numbers of 64 bits, which wraps.
sub wrapped {
    my ($one, $other) = @_;
    my $space = ~0 - $one;
    return $other <= $space ? $one + $other : $other - $space - 1;
}

my (%pools, %refs, %fasts, %views, %waits, %listeners, %seen_of);

sub size_of {
    my ($status, $size) = slabby::size($_[0]);
    return $size;
}

sub crc { return member("crc", crc32($_[0])) }

# ---------------------------------------------------------------------------------- a pool's life

# Functions of a target register and the words of an instruction; then those of a target, a pool, the
# words; then those of a target, a pool, a reference and the words behind both.
my (%free, %of_pool, %of_ref);

$free{library} = sub {
    return answer(0, '"version":"' . slabby::version() . '"', member("abi", slabby::abi_version()));
};

$free{sleep} = sub {
    select undef, undef, undef, $_[1] / 1e9;
    return only(0);
};

$free{create} = sub {
    my ($target, $size, $capacity, @options) = @_;
    return UNSET if $pools{$target};
    my ($status, $settings) = slabby::options_create();
    for my $word (@options) {
        my ($name, $text) = split /=/, $word, 2;
        $status =
            $name eq "preset"
            ? slabby::options_preset($settings, $text, undef)
            : slabby::options_set_text($settings, $name, $text, undef);
        last if $status;
    }
    my $pool;
    if (!$status) {
        slabby::set_binding($slabby::SLABBY_BINDING_SWIG);
        ($status, $pool) = slabby::create($size + 0, $capacity + 0, $settings, undef);
        slabby::set_binding(-1);
    }
    slabby::options_destroy($settings);
    if (!$status) {
        $pools{$target}   = $pool;
        $seen_of{$target} = {};
    }
    return only($status);
};

$free{adopt} = sub {
    my ($target, $source) = @_;
    return UNSET if $pools{$target} || !$pools{$source};
    my ($status, $address, $instance) = slabby::handle($pools{$source});
    my $pool;
    ($status, $pool) = slabby::adopt($address, $instance, undef) if !$status;
    if (!$status) {
        $pools{$target}   = $pool;
        $seen_of{$target} = $seen_of{$source};
    }
    return only($status);
};

$of_pool{destroy} = sub {
    my (undef, $pool, $name) = @_;
    my $status = slabby::destroy($pool);
    delete $pools{$name} if !$status;
    return only($status);
};

$of_pool{close}       = sub { return only(slabby::close($_[1])) };
$of_pool{reset}       = sub { return only(slabby::reset($_[1])) };
$of_pool{health_tick} = sub { return only(slabby::health_tick($_[1])) };
$of_pool{trim}        = sub { return only((slabby::trim($_[1]))[0]) };

$of_pool{reclaim} = sub {
    my ($status, $slabs) = slabby::reclaim($_[1]);
    return answer($status, member("count", $slabs));
};

$of_pool{resize} = sub {
    my ($status, $awaited) = slabby::resize($_[1], $_[3] + 0, undef);
    return answer($status, member("awaited", $awaited));
};

$of_pool{size} = sub {
    my ($status, $size) = slabby::size($_[1]);
    return answer($status, member("size", $size));
};

sub option { return $_[0] =~ /^#(\d+)$/ ? $1 + 0 : $options{ $_[0] } }

$of_pool{set_option} = sub {
    my (undef, $pool, undef, $name, $value) = @_;
    return only(slabby::set_option($pool, option($name), $value + 0, undef));
};

$of_pool{get_option} = sub {
    my (undef, $pool, undef, $name) = @_;
    my ($status, $value) = slabby::get_option($pool, option($name));
    return answer($status, member("value", $value));
};

$of_pool{breaker} = sub { return only(slabby::breaker_force($_[1], $_[3] + 0)) };

# ----------------------------------------------------------------------------- allocate and release

$of_pool{allocate} = sub {
    my ($target, $pool) = @_;
    my ($status, $ref) = slabby::allocate($pool);
    $refs{$target} = $ref if !$status;
    return only($status);
};

$of_pool{allocate_timeout} = sub {
    my ($target, $pool, undef, $timeout) = @_;
    my ($status, $ref) = slabby::allocate_timeout($pool, $timeout + 0);
    $refs{$target} = $ref if !$status;
    return only($status);
};

$of_pool{allocate_batch} = sub {
    my ($target, $pool, undef, $size) = @_;
    my $made   = slabby::new_numbers($size + 0);
    my $status = slabby::allocate_batch($made, $pool, $size + 0);
    if (!$status) {
        my $first = substr $target, 1;
        $refs{ "r" . ($first + $_) } = slabby::numbers_getitem($made, $_) for 0 .. $size - 1;
    }
    slabby::delete_numbers($made);
    return only($status);
};

$of_pool{allocate_fast} = sub {
    my ($target, $pool) = @_;
    my ($status, $data, $id) = slabby::allocate_fast($pool);
    $fasts{$target} = { id => $id, data => $data } if !$status;
    return only($status);
};

$of_pool{deallocate_fast} = sub {
    my (undef, $pool, undef, $name) = @_;
    my $fast = $fasts{$name} or return UNSET;
    my $status = slabby::deallocate_fast($pool, $fast->{id});
    delete $fast->{data} if !$status || $status == $slabby::SLABBY_MEMORY_CORRUPTION;
    return only($status);
};

$of_pool{release_batch} = sub {
    my (undef, $pool, undef, @names) = @_;
    my $given = slabby::new_numbers(@names + 1);
    slabby::numbers_setitem($given, $_, $refs{ $names[$_] } // 0) for 0 .. $#names;
    my ($status, $released) = slabby::release_batch($pool, $given, scalar @names);
    slabby::delete_numbers($given);
    return '{"status":"' . slabby::status_name($status) . '",' . member("released", $released) . "}";
};

$of_ref{release}          = sub { return only(slabby::release($_[1], $_[2])) };
$of_ref{release_deferred} = sub { return only(slabby::release_deferred($_[1], $_[2])) };
$of_ref{pin}              = sub { return only(slabby::pin($_[1], $_[2])) };
$of_ref{unpin}            = sub { return only(slabby::unpin($_[1], $_[2])) };

# ----------------------------------------------------------------------------------------- waiting

# One listener for each pool register while a wait of it is not over.
sub leave {
    my ($name) = @_;
    return if grep { $_->{pool} eq $name } values %waits;
    slabby::listener_destroy(delete $listeners{$name});
}

$of_pool{wait} = sub {
    my ($target, $pool, $name) = @_;
    return UNSET if $waits{$target};
    my ($status, $ticket) = (0);
    if (!$listeners{$name}) {
        ($status, $listeners{$name}) = slabby::listener_create($pool, undef);
        return only($status) if $status;
    }
    ($status, $ticket) = slabby::wait_begin($listeners{$name}, substr($target, 1) + 0);
    $waits{$target} = { pool => $name, ticket => $ticket, ref => 0 } if !$status;
    leave($name);
    return only($status);
};

# Takes what was granted, one after the other; the status is Closed where nothing more will be.
sub take {
    my ($listener) = @_;
    my ($ticket, $ref, $index) = map { slabby::new_numbers(1) } 1 .. 3;
    my ($status, $taken);
    while (1) {
        ($status, $taken) = slabby::wait_take($ticket, $ref, $index, $listener, 1);
        last if !$taken;
        my $wait = $waits{ "w" . slabby::numbers_getitem($index, 0) };
        die "a grant for nobody\n" if $wait->{ticket} != slabby::numbers_getitem($ticket, 0);
        $wait->{ref} = slabby::numbers_getitem($ref, 0);
    }
    slabby::delete_numbers($_) for $ticket, $ref, $index;
    return $status;
}

$free{collect} = sub {
    my ($target, $name) = @_;
    my $wait   = $waits{$name} or return UNSET;
    my $closed = take($listeners{ $wait->{pool} }) == $slabby::SLABBY_CLOSED;
    return answer(0, truth("granted", 0)) if !$wait->{ref} && !$closed;
    delete $waits{$name};
    leave($wait->{pool});
    return only($slabby::SLABBY_CLOSED) if !$wait->{ref};
    $refs{$target} = $wait->{ref};
    return answer(0, truth("granted", 1));
};

$free{cancel} = sub {
    my (undef, $name) = @_;
    my $wait = $waits{$name} or return UNSET;
    my ($status, $ref) = (0, $wait->{ref});
    ($status, $ref) = slabby::wait_cancel($listeners{ $wait->{pool} }, $wait->{ticket}) if !$ref;
    $status = slabby::release($pools{ $wait->{pool} }, $ref) if !$status && $ref;
    die "a wait could not be cancelled: $status\n" if $status;
    delete $waits{$name};
    leave($wait->{pool});
    return answer(0, truth("granted", $ref));
};

# ------------------------------------------------------------------------------------------- bytes

$of_ref{write} = sub {
    my (undef, $pool, $ref, $seed) = @_;
    my ($status, $data) = slabby::data($pool, $ref);
    slabby::write_bytes($data, 0, pattern($seed, size_of($pool))) if !$status;
    return only($status);
};

$of_ref{digest} = sub {
    my (undef, $pool, $ref) = @_;
    my ($status, $data) = slabby::data($pool, $ref);
    return $status ? only($status) : answer(0, crc(slabby::read_bytes($data, 0, size_of($pool))));
};

$of_ref{flip} = sub {
    my (undef, $pool, $ref, $offset) = @_;
    my ($status, $data) = slabby::data($pool, $ref);
    if (!$status) {
        my $byte = ord slabby::read_bytes($data, $offset + 0, 1);
        slabby::write_bytes($data, $offset + 0, chr($byte ^ 90));
    }
    return only($status);
};

$of_pool{write_fast} = sub {
    my (undef, $pool, undef, $name, $seed) = @_;
    my $data = $fasts{$name} && $fasts{$name}{data} or return UNSET;
    slabby::write_bytes($data, 0, pattern($seed, size_of($pool)));
    return only(0);
};

$of_pool{digest_fast} = sub {
    my (undef, $pool, undef, $name) = @_;
    my $data = $fasts{$name} && $fasts{$name}{data} or return UNSET;
    return answer(0, crc(slabby::read_bytes($data, 0, size_of($pool))));
};

$of_ref{view} = sub {
    my ($target, $pool, $ref) = @_;
    return UNSET if $views{$target};
    my $data;
    my $status = slabby::pin($pool, $ref);
    ($status, $data) = slabby::data($pool, $ref) if !$status;
    return only($status) if $status;
    my $size = size_of($pool);
    $views{$target} = { pool => $pool, ref => $ref, data => $data, size => $size };
    return answer(0, member("size", $size));
};

$free{slice} = sub {
    my (undef, $name, $offset, $count) = @_;
    my $view = $views{$name} or return UNSET;
    my $from = $offset < $view->{size} ? $offset + 0 : $view->{size};
    my $rest = $view->{size} - $from;
    my $size = $count < $rest ? $count + 0 : $rest;
    return answer(0, member("size", $size), crc(slabby::read_bytes($view->{data}, $from, $size)));
};

$free{unview} = sub {
    my (undef, $name) = @_;
    my $view = delete $views{$name} or return UNSET;
    return only(slabby::unpin($view->{pool}, $view->{ref}));
};

$free{copy} = sub {
    my ($target, $source) = @_;
    $refs{$target} = $refs{$source} // 0;
    return only(0);
};

$free{forge} = sub {
    my ($target, $source, $kind) = @_;
    my $ref  = $refs{$source} // 0;
    my %made = (zero => 0, ones => ~0, tag => $ref ^ (1 << 63), generation => wrapped($ref, 1 << 40));
    $refs{$target} = $made{$kind};
    return only(0);
};

# ------------------------------------------------------------------------- what a reference says

$of_ref{is_valid} = sub { return answer(0, truth("valid", slabby::is_valid($_[1], $_[2]))) };

$of_ref{id} = sub {
    my (undef, $pool, $ref, $name) = @_;
    my ($status, $id) = slabby::id($pool, $ref);
    return only($status) if $status;
    my $seen = $seen_of{$name};
    my $next = keys %$seen;
    $seen->{$id} //= $next;
    return answer(0, member("slab", $seen->{$id}));
};

$of_ref{ref_text} = sub {
    my ($status, $text) = slabby::ref_text($_[1], $_[2]);
    return only($status) if $status;
    $text =~ /^(.*):/;
    return answer(0, qq("name":"$1"));
};

$of_ref{stack} = sub {
    my ($status, $text) = slabby::stack($_[1], $_[2]);
    return answer($status, truth("empty", $text eq ""));
};

$of_ref{explain} = sub {
    my ($status, $text) = slabby::explain($_[1], $_[2], $statuses{ $_[3] });
    return answer($status, truth("empty", $text eq ""));
};

$of_ref{set_label} = sub { return only(slabby::set_label($_[1], $_[2], $_[3] + 0)) };

$of_ref{get_label} = sub {
    my ($status, $label) = slabby::get_label($_[1], $_[2]);
    return answer($status, member("label", $label));
};

# ----------------------------------------------------------------------------------- the whole pool

my $stats    = slabby::stats->new();
my $health   = slabby::health->new();
my $memory   = slabby::memory->new();
my $live     = slabby::live->new();
my $findings = slabby::findings_new(CHUNK);
my $records  = slabby::records_new(CHUNK);
my $events   = slabby::events_new(CHUNK);
my @hits     = qw(pcpu_cache_hits lock_free_hits shard_hits gate_hits guard_hits heap_fallbacks);

my @plain = qw(total_slabs slab_size used_slabs available_slabs total_allocations
    total_deallocations fast_allocations fast_deallocations ref_pool_hits utilization_ppm
    allocation_errors guard_page_violations heap_fallbacks tier_hits corruptions
    quarantined_slabs retired_slabs heap_slabs heap_bytes waiters);

$of_pool{stats} = sub {
    my $status = slabby::get_stats($stats, $_[1]);
    return only($status) if $status;
    my %made = (utilization_ppm => ppm($stats->{memory_utilization}), tier_hits => 0);
    $made{tier_hits} += $stats->{$_} for @hits;
    my @members = map { member($_, $made{$_} // $stats->{$_}) } @plain;
    push @members, '"breaker_state":"' . $breaker_states{ $stats->{breaker_state} } . '"';
    push @members, '"degradation_state":"' . $degradation_states{ $stats->{degradation_state} } . '"';
    push @members, '"pool_state":"' . $pool_states{ $stats->{pool_state} } . '"';
    push @members, map { member($_, $stats->{$_}) } qw(awaited_slabs reserved_slabs);
    my (%errors, $counts);
    $counts = $stats->{errors};
    for my $code (1 .. 63) {
        my $count = slabby::numbers_getitem($counts, $code);
        $errors{ slabby::status_name(-$code) } = $count if $count;
    }
    delete @errors{qw(InUse NotSupported)};
    return answer(0, @members, '"errors":' . object(%errors));
};

$of_pool{health} = sub {
    my $status = slabby::get_health($health, $_[1]);
    return answer(
        $status,
        member("score_ppm",      ppm($health->{health_score})),
        member("error_rate_ppm", ppm($health->{error_rate})),
        member("breaker_open",   $health->{circuit_breaker_open} ? 1 : 0)
    );
};

$of_pool{memory} = sub {
    my $status = slabby::get_memory($memory, $_[1]);
    return answer(
        $status,
        member("slab_bytes", $memory->{slab_bytes}),
        member("heap_bytes", $memory->{heap_bytes})
    );
};

$of_pool{stats_json} = sub {
    my ($status, $text) = slabby::stats_json($_[1]);
    $text =~ /"used_slabs":(\d+)/;
    return answer($status, member("used", $1));
};

$of_pool{health_json} = sub {
    my ($status, $text) = slabby::health_json($_[1]);
    my @keys = $text =~ /"\w+":/g;
    return answer($status, member("keys", scalar @keys));
};

# Each outstanding slab of a pool, by the cursor, and the status at the end.
sub all_live {
    my ($pool) = @_;
    my @slabs;
    my $cursor = 0;
    while (1) {
        my ($status, $found, $next) = slabby::live_next($live, $cursor, $pool);
        return ($status, @slabs) if $status || !$found;
        $cursor = $next;
        push @slabs, { map { $_ => $live->{$_} } qw(state id ref pins label) };
    }
}

$of_pool{live} = sub {
    my ($status, @slabs) = all_live($_[1]);
    my (%ids, %states);
    my ($pins, $labels) = (0, 0);
    for my $slab (@slabs) {
        $ids{ $slab->{id} } = 1;
        $states{ $slab->{state} }++;
        $pins += $slab->{pins};
        $labels = wrapped($labels, $slab->{label});
    }
    return answer(
        $status,
        member("count",     scalar @slabs),
        member("distinct",  scalar keys %ids),
        member("live",
            ($states{$slabby::SLABBY_SLAB_STATE_LIVE} // 0) + ($states{$slabby::SLABBY_SLAB_STATE_GRANTED} // 0)),
        member("live_fast", $states{$slabby::SLABBY_SLAB_STATE_LIVE_FAST} // 0),
        member("dying",     $states{$slabby::SLABBY_SLAB_STATE_DYING}     // 0),
        member("pins",      $pins),
        member("labels",    $labels)
    );
};

$of_pool{verify} = sub {
    my ($status, $found) = slabby::verify($findings, $_[1], CHUNK);
    my %damaged;
    my $other = 0;
    for my $at (0 .. $found - 1) {
        my $finding = slabby::findings_at($findings, $at);
        if ($finding->{kind} == $slabby::SLABBY_FINDING_KIND_GUARD_BYTES) {
            $damaged{ $finding->{id} } = 1;
        } else {
            $other++;
        }
    }
    return answer($status, member("damaged", scalar keys %damaged), member("other", $other));
};

$of_pool{audit} = sub {
    my ($cursor, $lost, $foreign, %tally) = (0, 0, 0);
    while (1) {
        my ($status, $found, $missed, $next) = slabby::audit_read($records, $cursor, $_[1], CHUNK);
        return only($status) if $status;
        ($lost, $cursor) = ($lost + $missed, $next);
        last if !$found;
        for my $at (0 .. $found - 1) {
            my $record    = slabby::records_at($records, $at);
            my $operation = $operations{ $record->{operation} };
            $operation = "allocate" if $operation eq "allocate_wait";
            $foreign++              if $record->{binding} != $slabby::SLABBY_BINDING_SWIG;
            $tally{ "$operation " . slabby::status_name($record->{status}) }++ if !$unprinted{$operation};
        }
    }
    return answer(0, member("lost", $lost), member("foreign", $foreign), '"records":' . object(%tally));
};

$of_pool{events} = sub {
    my ($cursor, %codes) = (0);
    while (1) {
        my ($status, $found, undef, $next) = slabby::events_read($events, $cursor, $_[1], CHUNK);
        return only($status) if $status;
        $cursor = $next;
        last if !$found;
        $codes{ $event_codes{ slabby::events_at($events, $_)->{code} } } = 1 for 0 .. $found - 1;
    }
    return answer(0, '"codes":[' . join(",", map { qq("$_") } sort keys %codes) . "]");
};

# -------------------------------------------------------------------------------------- programs

sub release_everything {
    my ($pool) = @_;
    my (undef, @slabs) = all_live($pool);
    for my $slab (@slabs) {
        if ($slab->{state} == $slabby::SLABBY_SLAB_STATE_LIVE_FAST) {
            slabby::deallocate_fast($pool, $slab->{id});
            next;
        }
        slabby::release_deferred($pool, $slab->{ref});
        slabby::unpin($pool, $slab->{ref}) for 1 .. $slab->{pins};
    }
}

sub clean_up {
    $free{cancel}->("", $_) for keys %waits;
    slabby::unpin($_->{pool}, $_->{ref}) for values %views;
    for my $name (sort keys %pools) {
        release_everything($pools{$name});
        die "a pool could not be destroyed: $name\n" if slabby::destroy($pools{$name});
    }
    $_->%* = () for \(%pools, %refs, %fasts, %views, %waits, %listeners, %seen_of);
}

sub execute {
    my @words = split " ", $_[0];
    shift @words if $words[0] =~ /^@/;
    my $target = "";
    if (@words > 1 && $words[1] eq "=") {
        $target = shift @words;
        shift @words;
    }
    my $name = shift @words;
    return $free{$name}->($target, @words) if $free{$name};
    my $pool = $pools{ $words[0] } or return UNSET;
    return $of_pool{$name}->($target, $pool, @words) if $of_pool{$name};
    my $run = $of_ref{$name} or die "no such instruction: $name\n";
    my ($register, $ref, @rest) = @words;
    return $run->($target, $pool, $refs{$ref} // 0, $name eq "id" ? $register : @rest);
}

while (my $line = <STDIN>) {
    if ($line =~ /^program (\d+)/) {
        clean_up();
        print qq({"program":$1}\n);
    } elsif ($line =~ /\S/ && $line !~ /^\s*#/) {
        print execute($line), "\n";
    }
}
clean_up();
