/* Values of several keys by one call. */
#include "check.h"

enum { MOST = 200 };

/* Keys on their way in, values on their way out. */
typedef struct {
    char keys[16 << 10];
    size_t key_ends[MOST];
    size_t count;
    void *vals;
    size_t val_ends[MOST];
    int states[MOST];
} many;

static void ask_for(many *many, const char *key, size_t length) {
    size_t start = many->count == 0 ? 0 : many->key_ends[many->count - 1];
    CHECK(many->count < MOST && start + length <= sizeof many->keys);
    memcpy(many->keys + start, key, length);
    many->key_ends[many->count++] = start + length;
}

static void get(freyja_db *db, many *many) {
    many->vals = NULL;
    CHECK_OK(freyja_get_many(db, many->keys, many->key_ends, many->count, &many->vals, many->val_ends,
                             many->states));
    CHECK(many->vals != NULL && (uintptr_t)many->vals % 16 == 0);
}

static void check_found(const many *many, size_t number, const void *value, size_t length) {
    size_t start = number == 0 ? 0 : many->val_ends[number - 1];
    CHECK(many->states[number] == FREYJA_OK);
    CHECK(many->val_ends[number] - start == length);
    CHECK(length == 0 || memcmp((const char *)many->vals + start, value, length) == 0);
}

static void check_absent(const many *many, size_t number) {
    size_t start = number == 0 ? 0 : many->val_ends[number - 1];
    CHECK(many->states[number] == FREYJA_NOT_FOUND && many->val_ends[number] == start);
}

static void values_come_in_the_order_of_the_keys(freyja_db *db) {
    static many many;
    many.count = 0;
    CHECK_OK(put_text(db, "a", "first"));
    CHECK_OK(put_text(db, "b", "second"));
    CHECK_OK(put_text(db, "empty", ""));
    CHECK_OK(freyja_put(db, NULL, 0, "of the empty key", 16));
    ask_for(&many, "b", 1);
    ask_for(&many, "missing", 7);
    ask_for(&many, "", 0);
    ask_for(&many, "empty", 5);
    ask_for(&many, "a", 1);
    ask_for(&many, "b", 1);
    uint64_t gets = stats_of(db).gets;
    get(db, &many);
    CHECK(stats_of(db).gets == gets + 6);
    check_found(&many, 0, "second", 6);
    check_absent(&many, 1);
    check_found(&many, 2, "of the empty key", 16);
    check_found(&many, 3, "", 0);
    check_found(&many, 4, "first", 5);
    check_found(&many, 5, "second", 6);
    memset(many.vals, 'x', many.val_ends[5]);
    freyja_free_buf(many.vals);
    CHECK(stats_of(db).buffers_in_use == 0);
}

static void any_number_of_keys_is_answered(freyja_db *db) {
    static char value[MOST][3000];
    for (int n = 0; n < MOST; n++) {
        char key[16];
        int length = snprintf(key, sizeof key, "number %d", n);
        memset(value[n], n, sizeof value[n]);
        if (n % 3 > 0)
            CHECK_OK(freyja_put(db, key, (size_t)length, value[n], (size_t)n * 13));
    }
    for (int count = 0; count <= MOST; count += count < 70 ? 1 : 65) {
        static many many;
        many.count = 0;
        for (int n = 0; n < count; n++) {
            char key[16];
            int length = snprintf(key, sizeof key, "number %d", n);
            ask_for(&many, key, (size_t)length);
        }
        get(db, &many);
        for (int n = 0; n < count; n++) {
            if (n % 3 > 0)
                check_found(&many, (size_t)n, value[n], (size_t)n * 13);
            else
                check_absent(&many, (size_t)n);
        }
        freyja_free_buf(many.vals);
    }
}

static void no_keys_need_no_arrays(freyja_db *db) {
    void *vals = NULL;
    CHECK_OK(freyja_get_many(db, NULL, NULL, 0, &vals, NULL, NULL));
    CHECK(vals != NULL);
    freyja_free_buf(vals);
}

static void wrong_arguments_write_nothing(freyja_db *db) {
    char key[] = "key";
    size_t ends[2] = {3, 3}, val_ends[2] = {77, 77};
    int states[2] = {77, 77}, untouched;
    void *vals = &untouched;
    const size_t too_many[] = {SIZE_MAX, SIZE_MAX / 2, PTRDIFF_MAX};
    CHECK_STATUS(freyja_get_many(db, NULL, ends, 2, &vals, val_ends, states), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_many(db, key, NULL, 2, &vals, val_ends, states), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_many(db, key, ends, 2, NULL, val_ends, states), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_many(db, key, ends, 2, &vals, NULL, states), FREYJA_INVALID);
    CHECK_STATUS(freyja_get_many(db, key, ends, 2, &vals, val_ends, NULL), FREYJA_INVALID);
    for (size_t n = 0; n < sizeof too_many / sizeof too_many[0]; n++)
        CHECK_STATUS(freyja_get_many(db, key, ends, too_many[n], &vals, val_ends, states), FREYJA_INVALID);
    ends[1] = 2;
    CHECK_STATUS(freyja_get_many(db, key, ends, 2, &vals, val_ends, states), FREYJA_INVALID);
    ends[1] = 3 + FREYJA_MAX_KEY_LEN + 1;
    CHECK_STATUS(freyja_get_many(db, key, ends, 2, &vals, val_ends, states), FREYJA_TOO_LARGE);
    ends[1] = SIZE_MAX;
    CHECK_STATUS(freyja_get_many(db, key, ends, 2, &vals, val_ends, states), FREYJA_TOO_LARGE);
    CHECK(vals == &untouched);
    CHECK(val_ends[0] == 77 && val_ends[1] == 77 && states[0] == 77 && states[1] == 77);
    ends[1] = 3;
    CHECK_STATUS(freyja_get_many(NULL, key, ends, 2, &vals, val_ends, states), FREYJA_INVALID);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    for (uint32_t read_mode = FREYJA_READ_MAPPED; read_mode <= FREYJA_READ_PREAD; read_mode++) {
        freyja_options options = default_options();
        options.sync_mode = FREYJA_SYNC_NONE;
        options.read_mode = read_mode;
        freyja_db *db = open_store(path_in(argv[1], read_mode ? "read" : "mapped"), &options);
        values_come_in_the_order_of_the_keys(db);
        any_number_of_keys_is_answered(db);
        no_keys_need_no_arrays(db);
        wrong_arguments_write_nothing(db);
        freyja_stats_t stats = stats_of(db);
        CHECK(stats.buffers_in_use == 0);
        CHECK_OK(freyja_close(db));
    }
    return 0;
}
