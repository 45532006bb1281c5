/* Wrong calls get an answer: NULL, bad lengths, closed and made-up handles. None is undefined. */
#include "check.h"

/* Calls everything that takes a handle; every call must answer `expected`. */
static void everything_answers(freyja_db *db, int expected, int line) {
    char byte = 0;
    void *val = &byte;
    size_t val_len = 77;
    uint64_t count = 77;
    freyja_location location;
    freyja_stats_t stats;
    freyja_error error;
    memset(&location, 0xaa, sizeof location);
    memset(&stats, 0xaa, sizeof stats);
    memset(&error, 0xaa, sizeof error);
    fprintf(stderr, "line %d: every call answers %d\n", line, expected);
    CHECK_STATUS(freyja_put(db, "k", 1, "v", 1), expected);
    CHECK_STATUS(freyja_get(db, "k", 1, &val, &val_len), expected);
    CHECK_STATUS(freyja_get_into(db, "k", 1, &byte, 1, &val_len), expected);
    CHECK_STATUS(freyja_exists(db, "k", 1), expected);
    CHECK_STATUS(freyja_delete(db, "k", 1), expected);
    CHECK_STATUS(freyja_sync(db), expected);
    CHECK_STATUS(freyja_count(db, &count), expected);
    CHECK_STATUS(freyja_locate(db, "k", 1, &location, sizeof location), expected);
    CHECK_STATUS(freyja_stats(db, &stats, sizeof stats), expected);
    CHECK_STATUS(freyja_failure(db, &error), expected);
    size_t key_end = 1, val_end = 77;
    int state = 77;
    freyja_batch *batch;
    CHECK_STATUS(freyja_get_many(db, "k", &key_end, 1, &val, &val_end, &state), expected);
    CHECK(val_end == 77 && state == 77);
    CHECK_OK(freyja_batch_new(&batch));
    CHECK_OK(freyja_batch_put(batch, "k", 1, "v", 1));
    CHECK_STATUS(freyja_write(db, batch), expected);
    CHECK_OK(freyja_batch_free(batch));
    /* Answers are written only on success. */
    CHECK(val == &byte && byte == 0 && val_len == 77 && count == 77);
    CHECK(location.offset == 0xaaaaaaaaaaaaaaaa && stats.keys == 0xaaaaaaaaaaaaaaaa);
    CHECK(error.offset == 0xaaaaaaaaaaaaaaaa);
}

static void null_arguments_are_invalid(freyja_db *db) {
    void *val = NULL;
    size_t val_len = 0;
    char byte;
    freyja_location location;
    CHECK_STATUS(freyja_put(db, NULL, 1, "v", 1), FREYJA_INVALID);
    CHECK_STATUS(freyja_put(db, "k", 1, NULL, 1), FREYJA_INVALID);
    CHECK_STATUS(freyja_put(db, NULL, SIZE_MAX, NULL, SIZE_MAX), FREYJA_INVALID);
    CHECK_STATUS(freyja_get(db, NULL, 1, &val, &val_len), FREYJA_INVALID);
    CHECK_STATUS(freyja_get(db, "k", 1, NULL, &val_len), FREYJA_INVALID);
    CHECK_STATUS(freyja_get(db, "k", 1, &val, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_into(db, NULL, 1, &byte, 1, &val_len), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_into(db, "k", 1, NULL, 1, &val_len), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_into(db, "k", 1, &byte, 1, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_exists(db, NULL, 1), FREYJA_INVALID);
    CHECK_STATUS(freyja_delete(db, NULL, 1), FREYJA_INVALID);
    CHECK_STATUS(freyja_count(db, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_locate(db, NULL, 1, &location, sizeof location), FREYJA_INVALID);
    CHECK_STATUS(freyja_locate(db, "k", 1, NULL, sizeof location), FREYJA_INVALID);
    CHECK_STATUS(freyja_stats(db, NULL, sizeof(freyja_stats_t)), FREYJA_INVALID);
    CHECK_STATUS(freyja_failure(db, NULL), FREYJA_INVALID);
    check_text(db, "k", "kept");
}

/* A length that is too large is refused before a byte is read: the pointers have one byte. */
static void lengths_above_the_limit_are_refused(freyja_db *db) {
    const size_t too_long[] = {FREYJA_MAX_KEY_LEN + 1, (size_t)FREYJA_MAX_VALUE_LEN + 1,
                               PTRDIFF_MAX, SIZE_MAX};
    void *val;
    size_t val_len;
    char byte;
    freyja_location location;
    for (size_t n = 0; n < sizeof too_long / sizeof too_long[0]; n++) {
        size_t length = too_long[n];
        CHECK_STATUS(freyja_put(db, "k", length, "v", 1), FREYJA_TOO_LARGE);
        CHECK_STATUS(freyja_get(db, "k", length, &val, &val_len), FREYJA_TOO_LARGE);
        CHECK_STATUS(freyja_get_into(db, "k", length, &byte, 1, &val_len), FREYJA_TOO_LARGE);
        CHECK_STATUS(freyja_exists(db, "k", length), FREYJA_TOO_LARGE);
        CHECK_STATUS(freyja_delete(db, "k", length), FREYJA_TOO_LARGE);
        CHECK_STATUS(freyja_locate(db, "k", length, &location, sizeof location), FREYJA_TOO_LARGE);
        if (n > 0)
            CHECK_STATUS(freyja_put(db, "k", 1, "v", length), FREYJA_TOO_LARGE);
    }
    check_text(db, "k", "kept");
}

/* Calls everything that takes a batch; every call must answer `expected`. */
static void every_call_of_a_batch_answers(freyja_db *db, freyja_batch *batch, int expected, int line) {
    uint64_t number = 77;
    fprintf(stderr, "line %d: every call of a batch answers %d\n", line, expected);
    CHECK_STATUS(freyja_batch_put(batch, "k", 1, "v", 1), expected);
    CHECK_STATUS(freyja_batch_delete(batch, "k", 1), expected);
    CHECK_STATUS(freyja_batch_clear(batch), expected);
    CHECK_STATUS(freyja_batch_count(batch, &number), expected);
    CHECK_STATUS(freyja_batch_savepoint(batch, &number), expected);
    CHECK_STATUS(freyja_batch_rollback_to(batch, 0), expected);
    CHECK_STATUS(freyja_write(db, batch), expected);
    CHECK(number == 77);
}

static void wrong_calls_of_a_batch_leave_it_as_it_was(freyja_db *db) {
    const size_t too_long[] = {FREYJA_MAX_KEY_LEN + 1, PTRDIFF_MAX, SIZE_MAX};
    freyja_batch *batch;
    uint64_t count;
    CHECK_STATUS(freyja_batch_new(NULL), FREYJA_INVALID);
    CHECK_OK(freyja_batch_new(&batch));
    CHECK_STATUS(freyja_batch_put(batch, NULL, 1, "v", 1), FREYJA_INVALID);
    CHECK_STATUS(freyja_batch_put(batch, "k", 1, NULL, 1), FREYJA_INVALID);
    CHECK_STATUS(freyja_batch_delete(batch, NULL, 1), FREYJA_INVALID);
    CHECK_STATUS(freyja_batch_count(batch, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_batch_savepoint(batch, NULL), FREYJA_INVALID);
    for (size_t n = 0; n < sizeof too_long / sizeof too_long[0]; n++) {
        CHECK_STATUS(freyja_batch_put(batch, "k", too_long[n], "v", 1), FREYJA_TOO_LARGE);
        CHECK_STATUS(freyja_batch_delete(batch, "k", too_long[n]), FREYJA_TOO_LARGE);
        if (n > 0)
            CHECK_STATUS(freyja_batch_put(batch, "k", 1, "v", too_long[n]), FREYJA_TOO_LARGE);
    }
    CHECK_OK(freyja_batch_count(batch, &count));
    CHECK(count == 0);
    CHECK_OK(freyja_batch_free(batch));
    every_call_of_a_batch_answers(db, batch, FREYJA_CLOSED, __LINE__);
    CHECK_STATUS(freyja_batch_free(batch), FREYJA_CLOSED);
    CHECK_OK(freyja_batch_free(NULL));
}

static void made_up_batches_are_recognised(freyja_db *db) {
    static char here;
    freyja_batch *live;
    CHECK_OK(freyja_batch_new(&live));
    /* The handle of a store is no batch, nor the other way round. */
    const uintptr_t made_up[] = {1, 4096, (uintptr_t)&here, (uintptr_t)db, UINTPTR_MAX,
                                 (uintptr_t)live ^ ((uintptr_t)1 << 60), ~(uintptr_t)live};
    every_call_of_a_batch_answers(db, NULL, FREYJA_INVALID, __LINE__);
    for (size_t n = 0; n < sizeof made_up / sizeof made_up[0]; n++) {
        every_call_of_a_batch_answers(db, (freyja_batch *)made_up[n], FREYJA_INVALID, __LINE__);
        CHECK_STATUS(freyja_batch_free((freyja_batch *)made_up[n]), FREYJA_INVALID);
    }
    CHECK_STATUS(freyja_sync((freyja_db *)(uintptr_t)live), FREYJA_INVALID);
    CHECK_STATUS(freyja_close((freyja_db *)(uintptr_t)live), FREYJA_INVALID);
    CHECK_OK(freyja_batch_put(live, "k", 1, "kept", 4));
    CHECK_OK(freyja_write(db, live));
    CHECK_OK(freyja_batch_free(live));
}

static void wrong_struct_sizes_are_invalid(freyja_db *db) {
    freyja_stats_t stats;
    freyja_location location;
    const size_t wrong[] = {0, 1, 4, 8, 39, 4097, SIZE_MAX};
    for (size_t n = 0; n < sizeof wrong / sizeof wrong[0]; n++) {
        CHECK_STATUS(freyja_stats(db, &stats, wrong[n]), FREYJA_INVALID);
        CHECK_STATUS(freyja_locate(db, "k", 1, &location, wrong[n]), FREYJA_INVALID);
    }
    CHECK_STATUS(freyja_stats(db, &stats, sizeof stats - 1), FREYJA_INVALID);
}

static void a_longer_struct_of_a_later_version_gets_zeros(freyja_db *db) {
    enum { LATER = sizeof(freyja_stats_t) + 64 };
    unsigned char bytes[LATER + 64];
    uint32_t known;
    memset(bytes, 0xaa, sizeof bytes);
    CHECK_OK(freyja_stats(db, (freyja_stats_t *)(void *)bytes, LATER));
    memcpy(&known, bytes, sizeof known);
    CHECK(known == sizeof(freyja_stats_t));
    for (size_t n = sizeof(freyja_stats_t); n < sizeof bytes; n++)
        CHECK(bytes[n] == (n < LATER ? 0 : 0xaa));
}

static void closed_and_made_up_handles_are_recognised(const char *directory) {
    static char here;
    freyja_db *db = open_store(path_in(directory, "closed"), NULL);
    freyja_db *other;
    CHECK_OK(freyja_close(db));
    everything_answers(db, FREYJA_CLOSED, __LINE__);
    CHECK_STATUS(freyja_close(db), FREYJA_CLOSED);
    /* Also when the place in the table is used again. */
    other = open_store(path_in(directory, "closed"), NULL);
    CHECK(other != db);
    everything_answers(db, FREYJA_CLOSED, __LINE__);
    CHECK_STATUS(freyja_close(db), FREYJA_CLOSED);
    CHECK_OK(put_text(other, "k", "v"));

    const uintptr_t made_up[] = {1, 4096, (uintptr_t)&here, (uintptr_t)&db, UINTPTR_MAX,
                                 (uintptr_t)other ^ ((uintptr_t)1 << 60), ~(uintptr_t)other};
    for (size_t n = 0; n < sizeof made_up / sizeof made_up[0]; n++) {
        everything_answers((freyja_db *)made_up[n], FREYJA_INVALID, __LINE__);
        CHECK_STATUS(freyja_close((freyja_db *)made_up[n]), FREYJA_INVALID);
    }
    everything_answers((freyja_db *)((uintptr_t)other + ((uintptr_t)1 << 20)), FREYJA_CLOSED, __LINE__);
    check_text(other, "k", "v");
    CHECK_OK(freyja_close(other));
}

static void a_wrong_open_opens_nothing(const char *directory) {
    freyja_error error;
    freyja_db *db = NULL;
    CHECK_STATUS(freyja_open(NULL, NULL, &db, &error), FREYJA_INVALID);
    CHECK(error.code == FREYJA_INVALID && error.sys_errno == 0 && error.message[0] != '\0');
    CHECK_STATUS(freyja_open("", NULL, &db, &error), FREYJA_INVALID);
    CHECK_STATUS(freyja_open(path_in(directory, "none"), NULL, NULL, &error), FREYJA_INVALID);
    CHECK_STATUS(freyja_open(NULL, NULL, NULL, NULL), FREYJA_INVALID);
    CHECK(db == NULL);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    freyja_db *db = open_store(path_in(argv[1], "store"), NULL);
    CHECK_OK(put_text(db, "k", "kept"));
    everything_answers(NULL, FREYJA_INVALID, __LINE__);
    null_arguments_are_invalid(db);
    lengths_above_the_limit_are_refused(db);
    wrong_struct_sizes_are_invalid(db);
    a_longer_struct_of_a_later_version_gets_zeros(db);
    wrong_calls_of_a_batch_leave_it_as_it_was(db);
    made_up_batches_are_recognised(db);
    a_wrong_open_opens_nothing(argv[1]);
    closed_and_made_up_handles_are_recognised(argv[1]);
    check_text(db, "k", "kept");
    CHECK_OK(freyja_close(db));
    return 0;
}
