/* A pinned value stays what it was, whatever becomes of its key and its store, until it is released. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

enum { KEYS = 2000, RING = 50 };

typedef struct {
    freyja_pin *pin;
    const unsigned char *val;
    size_t len;
} pinned;

static size_t length_of(unsigned number) {
    return number % 700;
}

/* What every byte of the value of a key is after so many puts. */
static unsigned char fill_of(unsigned number, unsigned round) {
    return (unsigned char)(number * 7 + round * 31);
}

static void put_number(freyja_db *db, unsigned number, unsigned round) {
    unsigned char value[700];
    memset(value, fill_of(number, round), sizeof value);
    CHECK_OK(freyja_put(db, &number, sizeof number, value, length_of(number)));
}

static void put_all(freyja_db *db, unsigned round) {
    for (unsigned number = 0; number < KEYS; number++)
        put_number(db, number, round);
}

static pinned pin_number(freyja_db *db, unsigned number) {
    pinned got = {NULL, NULL, (size_t)-1};
    const void *val = NULL;
    CHECK_OK(freyja_get_pinned(db, &number, sizeof number, &got.pin, &val, &got.len));
    CHECK(got.pin != NULL && val != NULL && got.len == length_of(number));
    got.val = val;
    return got;
}

static void check_bytes(const pinned *got, unsigned char fill) {
    for (size_t n = 0; n < got->len; n++)
        CHECK(got->val[n] == fill);
}

static freyja_options small_segments(uint32_t read_mode) {
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    options.read_mode = read_mode;
    options.segment_size = 64 << 10;
    options.compaction = FREYJA_COMPACTION_MANUAL;
    return options;
}

static void check_all(const pinned *pins) {
    for (unsigned number = 0; number < KEYS; number++)
        check_bytes(&pins[number], fill_of(number, 1));
}

static void pins_outlive_what_was_pinned(const char *path, uint32_t read_mode) {
    static pinned pins[KEYS];
    freyja_options options = small_segments(read_mode);
    freyja_db *db = open_store(path, &options);
    put_all(db, 1);
    for (unsigned number = 0; number < KEYS; number++)
        pins[number] = pin_number(db, number);
    CHECK(stats_of(db).pins_in_use == KEYS);
    put_all(db, 2);
    check_all(pins);
    for (unsigned number = 0; number < KEYS; number += 2)
        CHECK_OK(freyja_delete(db, &number, sizeof number));
    CHECK_OK(freyja_compact(db, NULL, NULL, NULL));
    CHECK(stats_of(db).compactions > 0);
    check_all(pins);
    CHECK_OK(freyja_close(db));
    check_all(pins);
    db = open_store(path, &options);
    put_all(db, 3);
    check_all(pins);
    for (unsigned number = 0; number < KEYS; number++)
        CHECK_OK(freyja_unpin(pins[number].pin));
    CHECK(stats_of(db).pins_in_use == 0);
    pinned newest = pin_number(db, 699);
    check_bytes(&newest, fill_of(699, 3));
    CHECK_OK(freyja_close(db));
    check_bytes(&newest, fill_of(699, 3));
    CHECK_OK(freyja_unpin(newest.pin));
}

static void a_mapped_value_is_not_copied(const char *path) {
    freyja_options options = small_segments(FREYJA_READ_MAPPED);
    freyja_db *db = open_store(path, &options);
    pinned one = pin_number(db, 1), same = pin_number(db, 1);
    CHECK(one.val == same.val && one.pin != same.pin);
    CHECK_OK(freyja_unpin(one.pin));
    check_bytes(&same, fill_of(1, 3));
    CHECK_OK(freyja_unpin(same.pin));
    CHECK_OK(freyja_close(db));
}

static void what_is_no_pin_is_refused(const char *path) {
    freyja_db *db = open_store(path, NULL);
    freyja_iter *it;
    CHECK_OK(freyja_iter_new(db, &it));
    CHECK_OK(put_text(db, "k", "kept"));
    unsigned number = 5;
    pinned got = pin_number(db, number);
    freyja_pin *not_pins[] = {(freyja_pin *)(uintptr_t)1, (freyja_pin *)&got,    (freyja_pin *)db,
                              (freyja_pin *)it,           (freyja_pin *)got.val, (freyja_pin *)UINTPTR_MAX};
    for (size_t n = 0; n < sizeof not_pins / sizeof not_pins[0]; n++)
        CHECK_STATUS(freyja_unpin(not_pins[n]), FREYJA_INVALID);
    CHECK_STATUS(freyja_iter_free((freyja_iter *)got.pin), FREYJA_INVALID);
    CHECK_STATUS(freyja_close((freyja_db *)got.pin), FREYJA_INVALID);
    CHECK_OK(freyja_unpin(NULL));
    CHECK_OK(freyja_unpin(got.pin));
    CHECK_STATUS(freyja_unpin(got.pin), FREYJA_CLOSED);
    pinned other = pin_number(db, number);
    CHECK_STATUS(freyja_unpin(got.pin), FREYJA_CLOSED);
    check_bytes(&other, fill_of(number, 3));
    CHECK(stats_of(db).pins_in_use == 1);
    CHECK_OK(freyja_unpin(other.pin));
    CHECK_OK(freyja_iter_free(it));

    const void *val = &number;
    freyja_pin *pin = (freyja_pin *)&number;
    size_t len = 77;
    CHECK_STATUS(freyja_get_pinned(db, "none", 4, &pin, &val, &len), FREYJA_NOT_FOUND);
    CHECK_STATUS(freyja_get_pinned(db, NULL, 1, &pin, &val, &len), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_pinned(db, "k", 1, NULL, &val, &len), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_pinned(db, "k", 1, &pin, NULL, &len), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_pinned(db, "k", 1, &pin, &val, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_pinned(NULL, "k", 1, &pin, &val, &len), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_pinned(db, "k", SIZE_MAX, &pin, &val, &len), FREYJA_TOO_LARGE);
    CHECK_OK(freyja_close(db));
    CHECK_STATUS(freyja_get_pinned(db, "k", 1, &pin, &val, &len), FREYJA_CLOSED);
    CHECK(pin == (freyja_pin *)&number && val == &number && len == 77);
}

static freyja_db *shared;
static atomic_int stop;

/* Holds some pins at a time, and looks at each again when it is released. */
static void *pin_and_release(void *argument) {
    pinned ring[RING] = {{NULL, NULL, 0}};
    unsigned char fills[RING] = {0};
    uint64_t random = 88172645463325252u + (uintptr_t)argument;
    for (unsigned n = 0; !atomic_load(&stop); n++) {
        unsigned number = (unsigned)(random_next(&random) % KEYS), place = n % RING;
        check_bytes(&ring[place], fills[place]);
        CHECK_OK(freyja_unpin(ring[place].pin));
        ring[place] = pin_number(shared, number);
        fills[place] = ring[place].len > 0 ? ring[place].val[0] : 0;
    }
    for (unsigned place = 0; place < RING; place++) {
        check_bytes(&ring[place], fills[place]);
        CHECK_OK(freyja_unpin(ring[place].pin));
    }
    return NULL;
}

static void pins_of_many_threads_hold_beside_writes_and_compaction(const char *path, uint32_t read_mode) {
    freyja_options options = small_segments(read_mode);
    pthread_t threads[3];
    shared = open_store(path, &options);
    put_all(shared, 0);
    atomic_store(&stop, 0);
    for (uintptr_t n = 0; n < 3; n++)
        CHECK(pthread_create(&threads[n], NULL, pin_and_release, (void *)n) == 0);
    for (unsigned round = 1; round <= (is_slow_run() ? 3u : 30u); round++) {
        put_all(shared, round);
        CHECK_OK(freyja_compact(shared, NULL, NULL, NULL));
    }
    atomic_store(&stop, 1);
    for (int n = 0; n < 3; n++)
        CHECK(pthread_join(threads[n], NULL) == 0);
    CHECK(stats_of(shared).compactions > 0 && stats_of(shared).pins_in_use == 0);
    CHECK_OK(freyja_close(shared));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    pins_outlive_what_was_pinned(path_in(argv[1], "mapped"), FREYJA_READ_MAPPED);
    pins_outlive_what_was_pinned(path_in(argv[1], "pread"), FREYJA_READ_PREAD);
    a_mapped_value_is_not_copied(path_in(argv[1], "mapped"));
    what_is_no_pin_is_refused(path_in(argv[1], "mapped"));
    pins_of_many_threads_hold_beside_writes_and_compaction(path_in(argv[1], "threads"), FREYJA_READ_MAPPED);
    pins_of_many_threads_hold_beside_writes_and_compaction(path_in(argv[1], "calls"), FREYJA_READ_PREAD);
    return 0;
}
