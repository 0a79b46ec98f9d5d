/* SPDX-License-Identifier: GPL-3.0-or-later */
/* slabby.hpp as its users meet it: who owns what, what is thrown, and containers of the standard library over pools. */
#include <slabby/slabby.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory_resource>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#define CHECK(condition)                                                                                     \
    ((condition)                                                                                             \
         ? (void)0                                                                                           \
         : (std::fprintf(stderr, "FAILED %s:%d: %s\n", __FILE__, __LINE__, #condition), std::exit(1)))

namespace {

std::uint64_t used(const slabby::pool &pool) {
    return pool.stats().used_slabs;
}

/* The error that a call throws; a call that throws none is a failure of the test. */
slabby::error thrown(const std::function<void()> &call) {
    try {
        call();
    } catch (const slabby::error &problem) {
        return problem;
    }
    std::fprintf(stderr, "FAILED: nothing was thrown\n");
    std::exit(1);
}

bool says(const slabby::error &problem, const char *words) {
    return std::strstr(problem.what(), words) != nullptr;
}

void a_slab_goes_back_at_the_end_of_its_scope() {
    slabby::pool pool(4096, 4);
    {
        slabby::slab one = pool.allocate();
        CHECK(one && one.valid() && one.size() == 4096 && one.end() - one.begin() == 4096);
        std::fill(one.begin(), one.end(), std::byte{7});
        CHECK(used(pool) == 1);
    }
    CHECK(used(pool) == 0);
}

void ownership_moves_and_leaves_nothing_behind() {
    slabby::pool pool(64, 4);
    slabby::slab first = pool.allocate();
    std::byte *const data = first.data();
    slabby::slab second(std::move(first));

    CHECK(!first && first.data() == nullptr && first.size() == 0); // NOLINT: what a move leaves is promised
    CHECK(second.data() == data && used(pool) == 1);
    slabby::slab third = pool.allocate();
    third = std::move(second);
    CHECK(third.data() == data && used(pool) == 1); /* what third held went back at once */
    slabby::slab &same = third;
    third = std::move(same);
    CHECK(third.data() == data && used(pool) == 1);

    slabby::pool moved(std::move(pool));
    CHECK(pool.handle() == nullptr && used(moved) == 1); // NOLINT
    const slabby_ref ref = third.detach();
    CHECK(!third && used(moved) == 1);
    CHECK(slabby_release(moved.handle(), ref) == SLABBY_OK && used(moved) == 0);
    static_assert(!std::is_copy_constructible_v<slabby::slab> && !std::is_copy_constructible_v<slabby::pool>);
    static_assert(std::is_nothrow_move_constructible_v<slabby::slab>);
    static_assert(std::is_nothrow_move_constructible_v<slabby::pool>);
}

void a_slab_outlives_its_pool() {
    slabby::slab last;
    {
        slabby::pool pool(64, 4);
        last = pool.allocate();
    }
    std::fill(last.begin(), last.end(), std::byte{1});
    CHECK(last.valid());
    last.release();
    CHECK(!last);
}

void errors_name_what_was_wrong() {
    const slabby::error capacity = thrown([] { slabby::pool pool(64, 0); });
    CHECK(capacity.status() == SLABBY_INVALID_CAPACITY && says(capacity, "capacity"));
    CHECK(capacity.code() == std::errc::invalid_argument);
    const slabby::error option = thrown([] { slabby::options().set("no_such_option", "1"); });
    CHECK(option.code() == SLABBY_INVALID_OPTION && says(option, "no_such_option"));
    const slabby::error preset = thrown([] { slabby::options().preset("none of them"); });
    CHECK(preset.code() == SLABBY_INVALID_OPTION);

    slabby::pool pool(64, 1, slabby::options().set("name", "orders"));
    slabby::slab only = pool.allocate();
    const slabby::error full = thrown([&] { (void)pool.allocate(); });
    CHECK(full.code() == std::errc::not_enough_memory && full.code() == SLABBY_OUT_OF_MEMORY);
    CHECK(says(full, "orders"));
    const slabby::error copy = full; // NOLINT: a copy has the same text
    CHECK(std::strcmp(copy.what(), full.what()) == 0);
    const slabby::error late = thrown([&] { (void)pool.allocate_for(std::chrono::milliseconds(1)); });
    CHECK(late.code() == SLABBY_TIMEOUT && late.code() == std::errc::timed_out);
    CHECK(!pool.try_allocate());

    const slabby_ref stale = only.ref();
    only.release();
    slabby::slab again(pool.handle(), stale, nullptr, 64);
    CHECK(!again.valid());
    CHECK(thrown([&] { again.release(); }).code() == SLABBY_DOUBLE_DEALLOCATION && !again);
    const slabby::error cold = thrown([&] { pool.set_option(SLABBY_OPTION_ALIGNMENT, 64); });
    CHECK(cold.code() == SLABBY_COLD_OPTION);
    pool.close();
    CHECK(thrown([&] { (void)pool.try_allocate(); }).code() == SLABBY_CLOSED);
}

void codes_serve_where_nothing_may_be_thrown() {
    slabby::pool pool(64, 1);
    std::error_code code = SLABBY_TIMEOUT;
    slabby::slab one = pool.allocate(code);
    CHECK(one && !code);
    slabby::slab two = pool.allocate(code);
    CHECK(!two && code == SLABBY_OUT_OF_MEMORY &&
          code.message() == slabby_status_message(SLABBY_OUT_OF_MEMORY));
    two = pool.allocate_for(std::chrono::nanoseconds(-1), code);
    CHECK(!two && code.value() < 0);
    CHECK(slabby_pin(pool.handle(), one.ref()) == SLABBY_OK);
    one.release(code);
    CHECK(one && code == SLABBY_PINNED && code == std::errc::device_or_resource_busy);
    CHECK(slabby_unpin(pool.handle(), one.ref()) == SLABBY_OK);
    one.release(code);
    CHECK(!one && !code);
    one.release(code);
    CHECK(code == SLABBY_INVALID_REFERENCE);
    CHECK(says(thrown([&] { one.release(); }), "the slab object is empty"));
    CHECK(says(thrown([&] { one.set_label(1); }), "the slab object is empty"));
    CHECK(says(thrown([&] { (void)one.label(); }), "the slab object is empty"));
}

#if !defined(__SANITIZE_ADDRESS__) /* which notices the write itself */
void damage_is_thrown_by_release() {
    slabby::pool pool(64, 2, slabby::options().set("bit_guard", "on"));
    slabby::slab one = pool.allocate();
    one.data()[64] ^= std::byte{0xEE}; /* one byte too far */
    CHECK(thrown([&] { one.release(); }).code() == SLABBY_MEMORY_CORRUPTION);
    slabby::slab two = pool.allocate();
    two.data()[64] ^= std::byte{0xEE};
    two = slabby::slab(); /* a destructor cannot throw: the pool counts it */
    CHECK(pool.stats().corruptions == 2);
}
#endif

void options_reach_the_pool() {
    slabby::options options;
    options.preset("gateway").set(SLABBY_OPTION_SECURE, 1).set("name", "from C++");
    slabby::pool pool(512, 8, options);
    CHECK(pool.option(SLABBY_OPTION_SECURE) == 1 && std::string(pool.stats().name) == "from C++");
    pool.set_option("secure", "off");
    CHECK(pool.option(SLABBY_OPTION_SECURE) == 0);
    CHECK(pool.health().capacity == 8 && pool.memory().capacity == 8);
    CHECK(slabby::options().handle() == nullptr);
}

void batches_and_labels() {
    slabby::pool pool(64, 16);
    {
        std::vector<slabby::slab> batch = pool.allocate_batch(16);
        CHECK(batch.size() == 16 && used(pool) == 16);
        batch[3].set_label(42);
        CHECK(batch[3].label() == 42 && batch[4].label() == 0);
        CHECK(thrown([&] { (void)pool.allocate_batch(1); }).code() == SLABBY_OUT_OF_MEMORY);
    }
    CHECK(used(pool) == 0);
    CHECK(thrown([&] { (void)pool.allocate_batch(17); }).code() == SLABBY_INVALID_BATCH_SIZE);
}

void live_slabs_forbid_destroy() {
    slabby::pool pool(64, 2);
    slabby::slab one = pool.allocate();
    CHECK(thrown([&] { pool.destroy(); }).code() == SLABBY_IN_USE && one.valid());
    one.release();
    pool.destroy();
    CHECK(pool.handle() == nullptr);
}

struct counted {
    static inline int live = 0;
    std::array<std::uint64_t, 4> values;
    explicit counted(std::uint64_t first) : values{first, 0, 0, 0} {
        if (first == 13)
            throw std::runtime_error("no");
        live++;
    }
    counted(const counted &) = delete;
    ~counted() {
        live--;
    }
};

struct alignas(512) wide {
    char byte;
};

void objects_in_slabs() {
    slabby::pool pool(64, 2);
    {
        slabby::unique_ptr<counted> one = slabby::make_unique<counted>(pool, 5u);
        CHECK(one->values[0] == 5 && counted::live == 1 && used(pool) == 1);
        slabby::unique_ptr<counted> two = std::move(one);
        CHECK(!one && two->values[0] == 5); // NOLINT
    }
    CHECK(counted::live == 0 && used(pool) == 0);
    try {
        (void)slabby::make_unique<counted>(pool, 13u);
        CHECK(false);
    } catch (const std::runtime_error &) {
        CHECK(used(pool) == 0);
    }
    const slabby::error large = thrown([&] { (void)slabby::make_unique<std::array<char, 65>>(pool); });
    CHECK(says(large, "65") && says(large, "64"));
    const slabby::error aligned = thrown([&] {
        slabby::pool narrow(1024, 2);
        (void)slabby::make_unique<wide>(narrow);
    });
    CHECK(says(aligned, "alignment=512"));
    slabby::pool made(1024, 2, slabby::options().set("alignment", "512"));
    slabby::pool moved(std::move(made)), aligned_pool(64, 1);
    aligned_pool = std::move(moved); /* the alignment goes with the pool */
    slabby::unique_ptr<wide> fits = slabby::make_unique<wide>(aligned_pool);
    CHECK(reinterpret_cast<std::uintptr_t>(fits.get()) % 512 == 0);
}

void containers_over_one_pool() {
    slabby::memory_resource resource(slabby::pool(64, 1000), std::pmr::null_memory_resource());
    {
        std::pmr::list<int> list(&resource);
        for (int i = 0; i < 1000; i++)
            list.push_back(i);
        CHECK(used(resource[0]) == 1000);
        try {
            list.push_back(1000);
            CHECK(false);
        } catch (const std::bad_alloc &) {
            CHECK(list.size() == 1000);
        }
        list.remove_if([](int i) { return i % 2 == 0; });
        CHECK(used(resource[0]) == 500);
    }
    CHECK(used(resource[0]) == 0 && resource[0].stats().corruptions == 0);
}

/* Random work on maps and strings, over size classes with an upstream, against the same over the heap. */
void containers_over_size_classes() {
    std::vector<slabby::pool> classes;
    classes.emplace_back(1024, 64);
    classes.emplace_back(64, 300);
    classes.emplace_back(256, 64);
    slabby::memory_resource resource(std::move(classes));
    CHECK(resource.size() == 3 && resource[0].slab_size() == 64 && resource[2].slab_size() == 1024);
    std::mt19937 random(20);
    {
        std::pmr::unordered_map<int, std::pmr::string> ours(&resource);
        std::pmr::map<int, std::pmr::deque<int>> nested(&resource);
        std::unordered_map<int, std::string> model;
        for (int i = 0; i < 5000; i++) {
            const int key = static_cast<int>(random() % 700);
            if (random() % 3 == 0) {
                CHECK(ours.erase(key) == model.erase(key));
                nested.erase(key);
            } else {
                const std::string text(random() % 3000, static_cast<char>('a' + key % 26));
                ours[key] = text;
                model[key] = text;
                nested[key].push_back(i);
            }
        }
        CHECK(ours.size() == model.size());
        for (const auto &[key, text] : model)
            CHECK(std::string_view(ours.at(key)) == text);
        CHECK(resource[0].stats().total_allocations > 0 && resource[2].stats().total_allocations > 0);
    }
    for (std::size_t i = 0; i < resource.size(); i++) {
        const slabby_stats stats = resource[i].stats();
        CHECK(stats.used_slabs == 0);
        for (const std::uint64_t count : stats.errors) /* pointers of upstream are no error of the pools */
            CHECK(count == 0);
    }
}

void a_resource_checks_what_it_is_given() {
    slabby::memory_resource resource(slabby::pool(64, 4, slabby::options().set("heap_fallback", "on")));
    void *const first = resource.allocate(10, 8);
    void *const large = resource.allocate(100, 8);
    std::vector<void *> more;

    CHECK(used(resource[0]) == 1);
    resource.deallocate(large, 100, 8);
    resource.deallocate(first, 10, 8);
    CHECK(thrown([&] { resource.deallocate(first, 10, 8); }).code() == SLABBY_DOUBLE_DEALLOCATION);
    CHECK(thrown([&] { resource.deallocate(static_cast<char *>(first) + 1, 10, 8); }).code() ==
          SLABBY_INVALID_REFERENCE);
    for (int i = 0; i < 6; i++) /* the last two are slabs of the heap */
        more.push_back(resource.allocate(64, 8));
    CHECK(resource[0].stats().heap_slabs == 2);
    for (void *one : more)
        resource.deallocate(one, 64, 8);
    CHECK(used(resource[0]) == 0);
    CHECK(resource.is_equal(resource) && !resource.is_equal(*std::pmr::new_delete_resource()));
}

void slabs_cross_threads() {
    slabby::pool pool(64, 32);
    std::vector<std::thread> threads;

    for (int t = 0; t < 4; t++)
        threads.emplace_back([&pool] {
            for (int i = 0; i < 500; i++) {
                slabby::slab one = pool.allocate_for(std::chrono::hours(1));
                std::thread::id id = std::this_thread::get_id();
                std::memcpy(one.data(), &id, sizeof id);
                CHECK(std::memcmp(one.data(), &id, sizeof id) == 0);
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    slabby::slab handed = pool.allocate();
    std::thread([slab = std::move(handed)]() mutable { slab.release(); }).join();
    CHECK(used(pool) == 0);
}

#if defined(__cpp_lib_span)
void a_span_covers_the_slab() {
    slabby::pool pool(64, 1);
    slabby::slab one = pool.allocate();
    const std::span<std::byte> bytes = one.span();
    CHECK(bytes.data() == one.data() && bytes.size() == 64);
}
#endif

} // namespace

int main() {
    a_slab_goes_back_at_the_end_of_its_scope();
    ownership_moves_and_leaves_nothing_behind();
    a_slab_outlives_its_pool();
    errors_name_what_was_wrong();
    codes_serve_where_nothing_may_be_thrown();
#if !defined(__SANITIZE_ADDRESS__)
    damage_is_thrown_by_release();
#endif
    options_reach_the_pool();
    batches_and_labels();
    live_slabs_forbid_destroy();
    objects_in_slabs();
    containers_over_one_pool();
    containers_over_size_classes();
    a_resource_checks_what_it_is_given();
    slabs_cross_threads();
#if defined(__cpp_lib_span)
    a_span_covers_the_slab();
#endif
    return 0;
}
