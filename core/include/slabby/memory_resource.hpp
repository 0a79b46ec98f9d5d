/* SPDX-License-Identifier: GPL-3.0-or-later */
/* slabby::memory_resource: pools for the containers of std::pmr. Part of slabby.hpp, which includes it. */
#ifndef SLABBY_MEMORY_RESOURCE_HPP
#define SLABBY_MEMORY_RESOURCE_HPP

#include "slabby.hpp"

#include <memory_resource>

#if defined(__cpp_lib_memory_resource)

namespace slabby {

/* Slabs for the containers of std::pmr. A request takes a slab of the smallest size that holds it; where those are
 * all in use, of the next larger size; where no pool can serve it (too large, too strictly aligned, all in use), from
 * `upstream`. With std::pmr::null_memory_resource() as upstream, std::bad_alloc says that the pools are exhausted.
 *
 * Deallocation checks the pointer: one that begins no live slab of these pools though it lies in one of them (a double
 * free, say) throws slabby::error, which ends a program whose container does it in its destructor. Thread-safe where
 * upstream is. */
class memory_resource : public std::pmr::memory_resource {
  public:
    explicit memory_resource(pool only,
                             std::pmr::memory_resource *upstream = std::pmr::get_default_resource())
        : upstream_(upstream) {
        add(std::move(only));
    }
    /* Size classes: pools in any order. */
    explicit memory_resource(std::vector<pool> classes,
                             std::pmr::memory_resource *upstream = std::pmr::get_default_resource())
        : upstream_(upstream) {
        for (pool &one : classes)
            add(std::move(one));
    }
    memory_resource(const memory_resource &) = delete;
    memory_resource &operator=(const memory_resource &) = delete;

    std::pmr::memory_resource *upstream() const noexcept {
        return upstream_;
    }
    /* How many pools there are, and one of them, from the smallest slabs to the largest: for its statistics. */
    std::size_t size() const noexcept {
        return classes_.size();
    }
    const pool &operator[](std::size_t index) const noexcept {
        return classes_[index].slabs;
    }

  protected:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override {
        for (const size_class &one : classes_) {
            slabby_ref ref = 0;
            void *data = nullptr;
            if (bytes > one.slabs.slab_size() || alignment > one.alignment)
                continue;
            const slabby_status status = slabby_try_allocate(&ref, &data, one.slabs.handle());
            if (status == SLABBY_OK)
                return data;
        }
        return upstream_->allocate(bytes, alignment);
    }

    void do_deallocate(void *pointer, std::size_t bytes, std::size_t alignment) override {
        slabby_allocator *const from = pool_of(pointer);

        if (from == nullptr)
            upstream_->deallocate(pointer, bytes, alignment);
        else
            detail::check(slabby_release_data(from, pointer), from);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
        return this == &other;
    }

  private:
    struct size_class {
        pool slabs;
        std::size_t alignment;
        std::uintptr_t first; /* where slabs lie, other than those of guard slots and of the heap */
        std::uintptr_t last;
    };

    /* Which of these pools a pointer belongs to, or nullptr. */
    slabby_allocator *pool_of(const void *pointer) const noexcept {
        const auto address = reinterpret_cast<std::uintptr_t>(pointer);
        slabby_allocator *found = nullptr;

        for (const size_class &one : classes_)
            if (address >= one.first && address < one.last)
                return one.slabs.handle();
        if (slabby_pool_of(&found, pointer) == SLABBY_OK)
            for (const size_class &one : classes_)
                if (one.slabs.handle() == found)
                    return found;
        return nullptr;
    }

    void add(pool &&one) {
        slabby_view_info view = SLABBY_INIT(slabby_view_info);
        auto at = classes_.begin();

        detail::check(slabby_view(&view, one.handle()), one.handle());
        const std::size_t alignment = one.alignment();
        const auto first = static_cast<std::uintptr_t>(view.slabs_address);
        const auto last = first + static_cast<std::uintptr_t>(view.stride * view.capacity);
        while (at != classes_.end() && at->slabs.slab_size() <= one.slab_size())
            ++at;
        classes_.insert(at, size_class{std::move(one), alignment, first, last});
    }

    std::vector<size_class> classes_;
    std::pmr::memory_resource *upstream_;
};

} // namespace slabby

#endif
#endif
