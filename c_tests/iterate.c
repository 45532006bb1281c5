/* An iterator meets every pair once, one by one or many at a time, and survives every misuse. */
#include "check.h"

enum { PAIRS = 5000 };

static size_t key_of(char *key, unsigned number) {
    return (size_t)sprintf(key, "%s-%u", number % 3 == 0 ? "three" : "other", number);
}

static unsigned number_in(const void *key, size_t key_len) {
    char text[32];
    CHECK(key_len < sizeof text);
    memcpy(text, key, key_len);
    text[key_len] = '\0';
    CHECK(strchr(text, '-') != NULL);
    return (unsigned)strtoul(strchr(text, '-') + 1, NULL, 10);
}

static void fill(freyja_db *db) {
    char key[32], value[400];
    for (unsigned number = 0; number < PAIRS; number++) {
        memset(value, (int)(number & 0x7f), sizeof value);
        CHECK_OK(freyja_put(db, key, key_of(key, number), value, number % sizeof value));
    }
}

/* Counts a pair that was met, and checks its value; keys_only are met without one. */
static void met(unsigned char *times, const void *key, size_t key_len, const void *val, size_t val_len,
                int keys_only) {
    unsigned number = number_in(key, key_len);
    CHECK(number < PAIRS);
    CHECK(++times[number] == 1);
    CHECK(val != NULL);
    CHECK(val_len == (keys_only ? 0 : number % 400));
    for (size_t n = 0; n < val_len; n++)
        CHECK(((const unsigned char *)val)[n] == (number & 0x7f));
}

static void check_met(const unsigned char *times, int only_threes) {
    for (unsigned number = 0; number < PAIRS; number++)
        CHECK(times[number] == (only_threes && number % 3 != 0 ? 0 : 1));
}

static void one_by_one(freyja_iter *it, int keys_only, int only_threes) {
    unsigned char times[PAIRS] = {0};
    freyja_slice key, val;
    int status;
    while ((status = freyja_iter_next(it, &key, &val)) == FREYJA_OK)
        met(times, key.data, key.len, val.data, val.len, keys_only);
    CHECK_STATUS(status, FREYJA_DONE);
    CHECK_STATUS(freyja_iter_next(it, &key, NULL), FREYJA_DONE);
    check_met(times, only_threes);
    CHECK_OK(freyja_iter_free(it));
}

static void many_at_a_time(freyja_iter *it, size_t cap, int keys_only, int only_threes) {
    unsigned char times[PAIRS] = {0};
    char *buf = malloc(cap);
    size_t used = 77, count = 77;
    int status;
    CHECK(buf != NULL);
    while ((status = freyja_iter_next_batch(it, buf, cap, &used, &count)) == FREYJA_OK) {
        size_t pairs = 0;
        freyja_pair pair;
        CHECK(used <= cap && count > 0);
        for (size_t at = 0; at < used; at += (sizeof pair + pair.key_len + pair.val_len + 7) / 8 * 8) {
            const char *key = buf + at + sizeof pair;
            memcpy(&pair, buf + at, sizeof pair);
            met(times, key, pair.key_len, key + pair.key_len, pair.val_len, keys_only);
            pairs++;
        }
        CHECK(pairs == count);
    }
    CHECK_STATUS(status, FREYJA_DONE);
    CHECK_STATUS(freyja_iter_next_batch(it, buf, cap, &used, NULL), FREYJA_DONE);
    check_met(times, only_threes);
    CHECK_OK(freyja_iter_free(it));
    free(buf);
}

static freyja_iter *iterator(freyja_db *db, const char *prefix, uint32_t flags, size_t memory) {
    freyja_iter *it = NULL;
    if (prefix == NULL && flags == 0 && memory == 0)
        CHECK_OK(freyja_iter_new(db, &it));
    else
        CHECK_OK(freyja_iter_new_ex(db, prefix, prefix == NULL ? 0 : strlen(prefix), flags, memory, &it));
    CHECK(it != NULL);
    return it;
}

static void every_pair_is_met_once(freyja_db *db) {
    const uint32_t flags[] = {0, FREYJA_ITER_KEYS_ONLY};
    for (int n = 0; n < 2; n++) {
        one_by_one(iterator(db, NULL, flags[n], 0), n, 0);
        one_by_one(iterator(db, NULL, flags[n], 1), n, 0);
        one_by_one(iterator(db, "three", flags[n], 0), n, 1);
        many_at_a_time(iterator(db, NULL, flags[n], 0), 1 << 20, n, 0);
        many_at_a_time(iterator(db, "three-", flags[n], 0), 500, n, 1);
        many_at_a_time(iterator(db, "", flags[n], 1000), 4096, n, 0);
    }
    freyja_iter *it = iterator(db, "nothing begins so", 0, 0);
    freyja_slice key;
    CHECK_STATUS(freyja_iter_next(it, &key, NULL), FREYJA_DONE);
    CHECK_OK(freyja_iter_free(it));
}

static void a_pair_that_does_not_fit_is_not_lost(freyja_db *db) {
    freyja_iter *it = iterator(db, "other-1234", 0, 0);
    size_t used = 0, count = 77;
    char *buf;
    CHECK_STATUS(freyja_iter_next_batch(it, NULL, 0, &used, &count), FREYJA_RANGE);
    CHECK(used == sizeof(freyja_pair) + strlen("other-1234") + 1234 % 400 && count == 77);
    size_t needed = used;
    buf = malloc(needed);
    CHECK(buf != NULL);
    CHECK_STATUS(freyja_iter_next_batch(it, buf, needed - 1, &used, &count), FREYJA_RANGE);
    CHECK_OK(freyja_iter_next_batch(it, buf, needed, &used, &count));
    CHECK(used == needed && count == 1);
    CHECK(memcmp(buf + sizeof(freyja_pair), "other-1234", 10) == 0);
    CHECK_STATUS(freyja_iter_next_batch(it, buf, needed, &used, &count), FREYJA_DONE);
    CHECK_OK(freyja_iter_free(it));
    free(buf);
}

static void the_store_may_be_written_to_while_it_is_iterated_over(freyja_db *db) {
    freyja_iter *it = iterator(db, NULL, 0, 0);
    freyja_slice key, val;
    unsigned steps = 0;
    while (freyja_iter_next(it, &key, &val) == FREYJA_OK) {
        /* The same value again, so that other tests find what they expect; the slices stay what they are. */
        char copy[32];
        CHECK(key.len < sizeof copy);
        memcpy(copy, key.data, key.len);
        CHECK_OK(freyja_put(db, key.data, key.len, val.data, val.len));
        CHECK(memcmp(copy, key.data, key.len) == 0);
        steps++;
    }
    CHECK(steps == PAIRS);
    CHECK_OK(freyja_iter_free(it));
}

static void every_call_answers(freyja_iter *it, int expected, int line) {
    freyja_slice key = {"untouched", 9}, val = {"untouched", 9};
    char buf[64];
    size_t used = 77, count = 77;
    fprintf(stderr, "line %d: every call of an iterator answers %d\n", line, expected);
    CHECK_STATUS(freyja_iter_next(it, &key, &val), expected);
    CHECK_STATUS(freyja_iter_next_batch(it, buf, sizeof buf, &used, &count), expected);
    CHECK(key.len == 9 && val.len == 9 && used == 77 && count == 77);
}

static void wrong_calls_are_refused(freyja_db *db) {
    static char here;
    freyja_iter *it = NULL, *live = iterator(db, NULL, 0, 0);
    freyja_slice key;
    size_t used;
    char buf[64];
    CHECK_STATUS(freyja_iter_new(NULL, &it), FREYJA_INVALID);
    CHECK_STATUS(freyja_iter_new(db, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_iter_new_ex(db, NULL, 1, 0, 0, &it), FREYJA_INVALID);
    CHECK_STATUS(freyja_iter_new_ex(db, "k", 1, 2, 0, &it), FREYJA_INVALID);
    CHECK_STATUS(freyja_iter_new_ex(db, "k", 1, UINT32_MAX, 0, &it), FREYJA_INVALID);
    CHECK_STATUS(freyja_iter_new_ex(db, "k", 1, 0, 0, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_iter_new_ex(db, "k", FREYJA_MAX_KEY_LEN + 1, 0, 0, &it), FREYJA_TOO_LARGE);
    CHECK_STATUS(freyja_iter_new_ex(db, "k", SIZE_MAX, 0, 0, &it), FREYJA_TOO_LARGE);
    CHECK(it == NULL);
    CHECK_STATUS(freyja_iter_next(live, NULL, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_iter_next_batch(live, NULL, 10, &used, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_iter_next_batch(live, buf, sizeof buf, NULL, NULL), FREYJA_INVALID);

    const uintptr_t made_up[] = {1, 4096, (uintptr_t)&here, (uintptr_t)db, UINTPTR_MAX,
                                 (uintptr_t)live ^ ((uintptr_t)1 << 60), ~(uintptr_t)live};
    every_call_answers(NULL, FREYJA_INVALID, __LINE__);
    for (size_t n = 0; n < sizeof made_up / sizeof made_up[0]; n++) {
        every_call_answers((freyja_iter *)made_up[n], FREYJA_INVALID, __LINE__);
        CHECK_STATUS(freyja_iter_free((freyja_iter *)made_up[n]), FREYJA_INVALID);
    }
    CHECK_STATUS(freyja_sync((freyja_db *)(uintptr_t)live), FREYJA_INVALID);
    /* Nothing of that has moved it on. */
    one_by_one(live, 0, 0);
    every_call_answers(live, FREYJA_CLOSED, __LINE__);
    CHECK_STATUS(freyja_iter_free(live), FREYJA_CLOSED);
    CHECK_OK(freyja_iter_free(NULL));
    (void)key;
}

static void many_iterators_at_once_do_not_disturb_each_other(freyja_db *db) {
    freyja_iter *its[40];
    freyja_slice key;
    for (int n = 0; n < 40; n++)
        its[n] = iterator(db, n % 2 == 0 ? "three" : NULL, n % 3 == 0 ? FREYJA_ITER_KEYS_ONLY : 0, 0);
    for (int step = 0; step < 20; step++)
        for (int n = 0; n < 40; n++)
            CHECK_OK(freyja_iter_next(its[n], &key, NULL));
    for (int n = 0; n < 40; n++)
        CHECK_OK(freyja_iter_free(its[n]));
}

/* Closes the store under iterators: bytes that were handed out stay, later calls answer FREYJA_CLOSED. */
static void closing_first_is_safe(freyja_db *db) {
    freyja_iter *fresh = iterator(db, NULL, 0, 0), *begun = iterator(db, NULL, 0, 0);
    freyja_slice key, val;
    char copy[32];
    CHECK_OK(freyja_iter_next(begun, &key, &val));
    CHECK(key.len < sizeof copy);
    memcpy(copy, key.data, key.len);
    CHECK_OK(freyja_close(db));
    CHECK(memcmp(copy, key.data, key.len) == 0);
    CHECK(val.len == number_in(key.data, key.len) % 400);
    every_call_answers(fresh, FREYJA_CLOSED, __LINE__);
    every_call_answers(begun, FREYJA_CLOSED, __LINE__);
    CHECK_OK(freyja_iter_free(fresh));
    CHECK_OK(freyja_iter_free(begun));
    CHECK_STATUS(freyja_iter_new(db, &fresh), FREYJA_CLOSED);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const uint32_t storages[] = {FREYJA_KEYS_IN_MEMORY, FREYJA_KEYS_ON_DISK};
    const uint32_t modes[] = {FREYJA_READ_MAPPED, FREYJA_READ_PREAD};
    for (int n = 0; n < 4; n++) {
        char name[] = "store-0";
        name[6] = (char)('0' + n);
        freyja_options options = default_options();
        options.sync_mode = FREYJA_SYNC_NONE;
        options.segment_size = 1 << 16;
        options.key_storage = storages[n % 2];
        options.read_mode = modes[n / 2];
        freyja_db *db = open_store(path_in(argv[1], name), &options);
        fill(db);
        every_pair_is_met_once(db);
        a_pair_that_does_not_fit_is_not_lost(db);
        the_store_may_be_written_to_while_it_is_iterated_over(db);
        wrong_calls_are_refused(db);
        many_iterators_at_once_do_not_disturb_each_other(db);
        closing_first_is_safe(db);
        /* From an image of the index. */
        db = open_store(path_in(argv[1], name), &options);
        every_pair_is_met_once(db);
        closing_first_is_safe(db);
    }
    return 0;
}
