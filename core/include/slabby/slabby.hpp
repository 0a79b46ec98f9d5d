/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Slabby for C++17: pools and slabs that clean up after themselves, over the calls of slabby.h.
 *
 *   slabby::pool pool(4096, 10000, slabby::options().set("secure", "on"));
 *   slabby::slab buffer = pool.allocate();
 *   std::memcpy(buffer.data(), message, length);
 *   // the slab goes back where buffer goes out of scope
 *
 *   slabby::memory_resource resource(slabby::pool(64, 10000));   // a std::pmr::memory_resource
 *   std::pmr::list<int> list(&resource);
 *   auto order = slabby::make_unique<Order>(pool, arguments);    // a std::unique_ptr
 *
 * Conventions of this header
 *   Errors      A call that fails throws slabby::error. The same call with a std::error_code& at its end throws nothing
 *               and returns an empty slab or nullptr in its place. Codes compare with those of codes.h
 *               (code == SLABBY_OUT_OF_MEMORY) and with std::errc (code == std::errc::not_enough_memory).
 *               Without exceptions (-fno-exceptions) a call that would throw writes its message and aborts.
 *   Ownership   pool, slab, options and unique_ptr are moved, not copied; what is left behind is empty. A slab may
 *               live longer than its pool object: the pool then takes no allocations, and its memory goes with
 *               the last slab.
 *   Threads     A pool may be used by many threads at a time, a slab by one. A slab may go to another thread.
 *   C           handle() and ref() give what the functions of slabby.h take, for everything that has no method here.
 *
 * Nothing here is compiled into the library, so its ABI stays that of slabby.h. Since 0.1.0.
 */
#ifndef SLABBY_HPP
#define SLABBY_HPP

#include "slabby.h"

#if !defined(__cplusplus) || (__cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L))
#error "slabby.hpp needs C++17 (-std=c++17); slabby.h works with every version"
#endif

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__has_include)
#if __has_include(<span>)
#include <span>
#endif
#endif

namespace slabby {

namespace detail {

class status_category final : public std::error_category {
  public:
    const char *name() const noexcept override {
        return "slabby";
    }

    std::string message(int status) const override {
        return slabby_status_message(status);
    }

    std::error_condition default_error_condition(int status) const noexcept override {
        switch (status) {
        case SLABBY_OUT_OF_MEMORY:
        case SLABBY_NO_SYSTEM_MEMORY:
            return std::errc::not_enough_memory;
        case SLABBY_INVALID_ARGUMENT:
        case SLABBY_INVALID_SLAB_SIZE:
        case SLABBY_INVALID_CAPACITY:
        case SLABBY_INVALID_OPTION:
        case SLABBY_INVALID_BATCH_SIZE:
            return std::errc::invalid_argument;
        case SLABBY_TIMEOUT:
            return std::errc::timed_out;
        case SLABBY_BUSY:
        case SLABBY_IN_USE:
        case SLABBY_PINNED:
            return std::errc::device_or_resource_busy;
        case SLABBY_NOT_SUPPORTED:
            return std::errc::not_supported;
        default:
            return {status, *this};
        }
    }
};

} // namespace detail

/* The category of every code of this header: its values are the statuses of codes.h. */
inline const std::error_category &category() noexcept {
    static const detail::status_category instance;
    return instance;
}

/* What a call that fails throws. what() names the value, the limit and what to do. */
class error : public std::system_error {
  public:
    error(slabby_status status, const std::string &text) : system_error(status, category()), text_(text) {
    }

    slabby_status status() const noexcept {
        return code().value();
    }
    const char *what() const noexcept override {
        return text_.what();
    }

  private:
    std::runtime_error text_; /* its copies share the text, and do not throw */
};

namespace detail {

[[noreturn]] inline void fail(slabby_status status, const char *text) {
#if defined(__cpp_exceptions)
    throw error(status, text);
#else
    (void)status;
    std::fprintf(stderr, "slabby: %s\n", text);
    std::abort();
#endif
}

/* A call that fills a slabby_error. */
inline void check(slabby_status status, const slabby_error &problem) {
    if (status != SLABBY_OK)
        fail(status, problem.text[0] != '\0' ? problem.text : slabby_status_message(status));
}

/* A call that does not: slabby_explain says the rest. */
inline void check(slabby_status status, slabby_allocator *allocator, slabby_ref ref = 0) {
    char text[512];

    if (status == SLABBY_OK)
        return;
    if (slabby_explain(text, sizeof text, nullptr, allocator, ref, status) == SLABBY_INVALID_ARGUMENT)
        fail(status, slabby_status_message(status));
    fail(status, text);
}

inline void store(std::error_code &out, slabby_status status) noexcept {
    out.assign(status, slabby::category());
}

/* Below zero is 0, and what does not fit is the most that does: some 584 years. */
template <typename Rep, typename Period>
std::uint64_t nanoseconds(std::chrono::duration<Rep, Period> time) noexcept {
    const double wanted = std::chrono::duration<double, std::nano>(time).count();

    if (!(wanted > 0))
        return 0;
    if (wanted >= 9e18)
        return UINT64_MAX;
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
}

} // namespace detail

/* The options of a pool that is to be made; docs/contract.md lists them. Without any it costs nothing.
 *
 *   slabby::options().preset("gateway").set("name", "orders").set(SLABBY_OPTION_HEAP_FALLBACK, 1)
 */
class options {
  public:
    options() noexcept = default;
    options(options &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {
    }
    options &operator=(options &&other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    options(const options &) = delete;
    options &operator=(const options &) = delete;
    ~options() {
        slabby_options_destroy(handle_);
    }

    /* By number and value, in the unit of the option. Throws InvalidOption with the range. */
    options &set(slabby_option_id option, std::int64_t value) & {
        slabby_error problem = SLABBY_ERROR_INIT;
        detail::check(slabby_options_set(made(), option, value, &problem), problem);
        return *this;
    }
    /* By name and text: "on", "4KiB", "250us", "80%", a word. */
    options &set(const std::string &name, const std::string &text) & {
        slabby_error problem = SLABBY_ERROR_INIT;
        detail::check(slabby_options_set_text(made(), name.c_str(), text.c_str(), &problem), problem);
        return *this;
    }
    /* The options of a use case: "trading", "gateway", "analytics", "packets", "default". */
    options &preset(const std::string &name) & {
        slabby_error problem = SLABBY_ERROR_INIT;
        detail::check(slabby_options_preset(made(), name.c_str(), &problem), problem);
        return *this;
    }
    /* The function that is called with each event; context must live as long as the pool. */
    options &logger(slabby_log_function function, void *context) & {
        slabby_error problem = SLABBY_ERROR_INIT;
        detail::check(slabby_options_set_logger(made(), function, context, &problem), problem);
        return *this;
    }

    options &&set(slabby_option_id option, std::int64_t value) && {
        return std::move(set(option, value));
    }
    options &&set(const std::string &name, const std::string &text) && {
        return std::move(set(name, text));
    }
    options &&preset(const std::string &name) && {
        return std::move(preset(name));
    }
    options &&logger(slabby_log_function function, void *context) && {
        return std::move(logger(function, context));
    }

    const slabby_options *handle() const noexcept {
        return handle_;
    }

  private:
    slabby_options *made() {
        if (handle_ == nullptr)
            detail::check(slabby_options_create(&handle_), nullptr);
        return handle_;
    }

    slabby_options *handle_ = nullptr;
};

/* One slab, given back by the destructor. Empty where it was moved from, released, or could not be allocated.
 *
 * What goes wrong while the destructor gives it back (bytes beside the slab were overwritten, say) reaches the pool's
 * logger and its counters; call release() to have it thrown. */
class slab {
  public:
    slab() noexcept = default;
    /* Takes over a reference, with its data and size, that calls of slabby.h gave. */
    slab(slabby_allocator *allocator, slabby_ref ref, void *data, std::size_t size) noexcept
        : allocator_(allocator), ref_(ref), data_(static_cast<std::byte *>(data)), size_(size) {
    }
    slab(slab &&other) noexcept {
        swap(other);
    }
    slab &operator=(slab &&other) noexcept {
        slab taken(std::move(other)); /* what this one held goes back at once */
        swap(taken);
        return *this;
    }
    slab(const slab &) = delete;
    slab &operator=(const slab &) = delete;
    ~slab() {
        if (ref_ != 0)
            (void)slabby_release(allocator_, ref_);
    }

    explicit operator bool() const noexcept {
        return ref_ != 0;
    }
    std::byte *data() const noexcept {
        return data_;
    }
    std::size_t size() const noexcept {
        return size_;
    }
    std::byte *begin() const noexcept {
        return data_;
    }
    std::byte *end() const noexcept {
        return data_ + size_;
    }
#if defined(__cpp_lib_span)
    std::span<std::byte> span() const noexcept {
        return {data_, size_};
    }
#endif

    slabby_ref ref() const noexcept {
        return ref_;
    }
    slabby_allocator *allocator() const noexcept {
        return allocator_;
    }
    /* False once the reference was released elsewhere, or the pool was reset. */
    bool valid() const noexcept {
        return ref_ != 0 && slabby_is_valid(allocator_, ref_) != 0;
    }

    /* Gives the slab back and says whether that went well; the object is empty afterwards, except after Pinned. This is
     * not std::unique_ptr::release: that is detach(). */
    void release() {
        std::error_code code;
        const slabby_ref given = ref_;
        slabby_allocator *const from = allocator_;
        require_slab(SLABBY_INVALID_REFERENCE);
        release(code);
        detail::check(code.value(), from, given);
    }
    void release(std::error_code &code) noexcept {
        const slabby_status status = ref_ == 0 ? SLABBY_INVALID_REFERENCE : slabby_release(allocator_, ref_);
        detail::store(code, status);
        if (status != SLABBY_PINNED)
            (void)detach();
    }

    /* The reference, which from now on the caller releases. */
    slabby_ref detach() noexcept {
        const slabby_ref ref = ref_;
        slab empty;
        ref_ = 0; /* so that the destructor of `empty` has nothing to give back */
        swap(empty);
        return ref;
    }

    /* A value of yours that live() and reports show; 0 until it is set. */
    void set_label(std::uint64_t label) {
        require_slab(SLABBY_INVALID_ARGUMENT);
        detail::check(slabby_set_label(allocator_, ref_, label), allocator_, ref_);
    }
    std::uint64_t label() const {
        std::uint64_t label = 0;
        require_slab(SLABBY_INVALID_ARGUMENT);
        detail::check(slabby_get_label(&label, allocator_, ref_), allocator_, ref_);
        return label;
    }

    void swap(slab &other) noexcept {
        std::swap(allocator_, other.allocator_);
        std::swap(ref_, other.ref_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

  private:
    void require_slab(slabby_status otherwise) const {
        if (ref_ == 0)
            detail::fail(otherwise,
                         "the slab object is empty: released, detached or moved from; allocate again");
    }

    slabby_allocator *allocator_ = nullptr;
    slabby_ref ref_ = 0;
    std::byte *data_ = nullptr;
    std::size_t size_ = 0;
};

/* A pool. The destructor never waits for slabs: those that are live stay usable and take the pool's memory with them.
 * Call destroy() where live slabs are a mistake. */
class pool {
  public:
    /* capacity slabs of slab_size bytes each. */
    pool(std::size_t slab_size, std::size_t capacity, const options &chosen = options()) : size_(slab_size) {
        slabby_error problem = SLABBY_ERROR_INIT;
        detail::check(slabby_create(&handle_, slab_size, capacity, chosen.handle(), &problem), problem);
        alignment_ = alignment_of(handle_);
    }
    /* Takes over one ownership of a pool that slabby_create, slabby_retain or slabby_adopt gave. */
    explicit pool(slabby_allocator *handle) : handle_(handle) {
        std::uint64_t size = 0;
        detail::check(slabby_size(&size, handle), handle);
        size_ = static_cast<std::size_t>(size);
        alignment_ = alignment_of(handle);
    }
    pool(pool &&other) noexcept
        : handle_(std::exchange(other.handle_, nullptr)), size_(other.size_), alignment_(other.alignment_) {
    }
    pool &operator=(pool &&other) noexcept {
        pool taken(std::move(other));
        std::swap(handle_, taken.handle_);
        std::swap(size_, taken.size_);
        std::swap(alignment_, taken.alignment_);
        return *this;
    }
    pool(const pool &) = delete;
    pool &operator=(const pool &) = delete;
    ~pool() {
        (void)slabby_abandon(handle_);
    }

    slabby_allocator *handle() const noexcept {
        return handle_;
    }
    std::size_t slab_size() const noexcept {
        return size_;
    }
    /* What the address of every slab is a multiple of: the option alignment, or less where guard_pages puts the end of
     * a slab of odd size at a guard page. */
    std::size_t alignment() const noexcept {
        return alignment_;
    }

    /* One slab at once. Throws OutOfMemory where no slab is free. */
    slab allocate() {
        std::error_code code;
        slab got = allocate(code);
        detail::check(code.value(), handle_);
        return got;
    }
    slab allocate(std::error_code &code) noexcept {
        return allocated(
            code, [this](slabby_ref *ref, void **data) { return slabby_allocate(ref, data, handle_); });
    }

    /* One slab, or an empty one where no slab is free, which counts as no failure. Throws for anything else. */
    slab try_allocate() {
        std::error_code code;
        slab got = allocated(
            code, [this](slabby_ref *ref, void **data) { return slabby_try_allocate(ref, data, handle_); });
        if (code.value() != SLABBY_OUT_OF_MEMORY)
            detail::check(code.value(), handle_);
        return got;
    }

    /* One slab, waiting for up to `time`, first come first served. Throws Timeout. */
    template <typename Rep, typename Period> slab allocate_for(std::chrono::duration<Rep, Period> time) {
        std::error_code code;
        slab got = allocate_for(time, code);
        detail::check(code.value(), handle_);
        return got;
    }
    template <typename Rep, typename Period>
    slab allocate_for(std::chrono::duration<Rep, Period> time, std::error_code &code) noexcept {
        return allocated(code, [this, time](slabby_ref *ref, void **data) {
            return slabby_allocate_timeout(ref, data, handle_, detail::nanoseconds(time));
        });
    }

    /* count slabs, all or none. */
    std::vector<slab> allocate_batch(std::size_t count) {
        std::vector<slab> slabs;
        std::vector<slabby_ref> refs(count);
        std::vector<void *> datas(count);

        slabs.reserve(count);
        detail::check(slabby_allocate_batch(refs.data(), datas.data(), handle_, count), handle_);
        for (std::size_t i = 0; i < count; i++)
            slabs.emplace_back(handle_, refs[i], datas[i], size_);
        return slabs;
    }

    /* No allocation succeeds any more, waiting ones get Closed; live slabs stay. */
    void close() {
        detail::check(slabby_close(handle_), handle_);
    }
    /* Ends the pool, or throws InUse where slabs are live, and changes nothing then. */
    void destroy() {
        detail::check(slabby_destroy(handle_), handle_);
        handle_ = nullptr;
    }

    slabby_stats stats() const {
        slabby_stats stats = SLABBY_STATS_INIT;
        detail::check(slabby_get_stats(&stats, handle_), handle_);
        return stats;
    }
    slabby_health health() const {
        slabby_health health = SLABBY_HEALTH_INIT;
        detail::check(slabby_get_health(&health, handle_), handle_);
        return health;
    }
    slabby_memory memory() const {
        slabby_memory memory = SLABBY_MEMORY_INIT;
        detail::check(slabby_get_memory(&memory, handle_), handle_);
        return memory;
    }

    /* Changes an option while the pool is in use; throws ColdOption where it is fixed at creation. */
    void set_option(slabby_option_id option, std::int64_t value) {
        slabby_error problem = SLABBY_ERROR_INIT;
        detail::check(slabby_set_option(handle_, option, value, &problem), problem);
    }
    void set_option(const std::string &name, const std::string &text) {
        slabby_error problem = SLABBY_ERROR_INIT;
        detail::check(slabby_set_option_text(handle_, name.c_str(), text.c_str(), &problem), problem);
    }
    std::int64_t option(slabby_option_id option) const {
        std::int64_t value = 0;
        detail::check(slabby_get_option(&value, handle_, option), handle_);
        return value;
    }

  private:
    /* Fixed when the pool is made: asked for once, since make_unique needs it for each object. */
    static std::size_t alignment_of(slabby_allocator *handle) {
        slabby_view_info view = SLABBY_INIT(slabby_view_info);
        std::int64_t wanted = 0;

        detail::check(slabby_view(&view, handle), handle);
        detail::check(slabby_get_option(&wanted, handle, SLABBY_OPTION_ALIGNMENT), handle);
        const std::uint64_t bits = view.slabs_address | view.stride | static_cast<std::uint64_t>(wanted);
        return static_cast<std::size_t>(bits & (~bits + 1));
    }

    template <typename Call> slab allocated(std::error_code &code, Call call) noexcept {
        slabby_ref ref = 0;
        void *data = nullptr;
        const slabby_status status = call(&ref, &data);

        detail::store(code, status);
        return status == SLABBY_OK ? slab(handle_, ref, data, size_) : slab();
    }

    slabby_allocator *handle_ = nullptr;
    std::size_t size_ = 0;
    std::size_t alignment_ = 1;
};

/* Ends an object that make_unique made, and gives its slab back. A release that fails is reported by the pool. */
template <typename T> class deleter {
  public:
    deleter() noexcept = default;
    deleter(slabby_allocator *allocator, slabby_ref ref) noexcept : allocator_(allocator), ref_(ref) {
    }

    void operator()(T *object) const noexcept {
        object->~T();
        (void)slabby_release(allocator_, ref_);
    }

  private:
    slabby_allocator *allocator_ = nullptr;
    slabby_ref ref_ = 0;
};

template <typename T> using unique_ptr = std::unique_ptr<T, deleter<T>>;

/* An object in a slab of its own. Throws InvalidArgument where a slab of this pool is too small for it, or begins at no
 * multiple of its alignment. */
template <typename T, typename... Arguments> unique_ptr<T> make_unique(pool &from, Arguments &&...arguments) {
    static_assert(!std::is_array_v<T>,
                  "slabby::make_unique makes one object; for bytes take pool.allocate()");
    if (sizeof(T) > from.slab_size())
        detail::fail(SLABBY_INVALID_ARGUMENT,
                     ("the object has " + std::to_string(sizeof(T)) + " bytes and a slab " +
                      std::to_string(from.slab_size()) + ": take a pool of larger slabs")
                         .c_str());
    if (from.alignment() < alignof(T))
        detail::fail(SLABBY_INVALID_ARGUMENT,
                     ("the object needs an alignment of " + std::to_string(alignof(T)) +
                      ": make the pool with the option alignment=" + std::to_string(alignof(T)))
                         .c_str());
    slab memory = from.allocate();
    T *object = ::new (static_cast<void *>(memory.data())) T(std::forward<Arguments>(arguments)...);
    slabby_allocator *const allocator = memory.allocator();
    return unique_ptr<T>(object, deleter<T>(allocator, memory.detach()));
}

} // namespace slabby

/* code == SLABBY_TIMEOUT: codes of this header compare with the names of codes.h. */
inline std::error_code make_error_code(slabby_status_code status) noexcept {
    return {static_cast<int>(status), slabby::category()};
}
template <> struct std::is_error_code_enum<slabby_status_code> : std::true_type {};

/* slabby::memory_resource, where the standard library has std::pmr. */
#if defined(__has_include)
#if __has_include(<memory_resource>)
#include "memory_resource.hpp"
#endif
#endif

#endif
