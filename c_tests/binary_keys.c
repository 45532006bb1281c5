/* Keys are bytes: zeros, prefixes of each other, any length; checked against a plain array. */
#include "check.h"

enum { KEYS = 1500, STEPS = 20000 };

/* What the store should hold. */
static struct {
    unsigned char key[48];
    size_t key_len;
    int present;
    uint64_t version;
} model[KEYS];

static void make_keys(void) {
    uint64_t state = 88172645463325252u;
    for (size_t n = 0; n < KEYS; n++) {
        /* The empty key, all keys of one byte, then longer ones. */
        model[n].key_len = n == 0 ? 0 : n < 257 ? 1 : 2 + n % 46;
        model[n].key[0] = (unsigned char)(n - 1);
        if (n < 257)
            continue;
        /* Few different bytes, so that many keys are prefixes of others or differ in one place. */
        for (size_t byte = 0; byte < model[n].key_len; byte++)
            model[n].key[byte] = "\0\0\0\377"[random_next(&state) % 4];
        memcpy(model[n].key + model[n].key_len - 2, &(uint16_t){(uint16_t)n}, 2);
    }
}

static size_t value_for(size_t number, uint64_t version, unsigned char *value) {
    size_t length = (number * 7 + version * 13) % 300;
    for (size_t n = 0; n < length; n++)
        value[n] = (unsigned char)(number + version + n);
    return length;
}

static void check_all(freyja_db *db) {
    unsigned char value[300];
    uint64_t present = 0;
    for (size_t n = 0; n < KEYS; n++) {
        if (model[n].present) {
            size_t length = value_for(n, model[n].version, value);
            check_value(db, model[n].key, model[n].key_len, value, length);
            present++;
        } else {
            check_missing(db, model[n].key, model[n].key_len);
        }
    }
    CHECK(count_of(db) == present);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const int steps = is_slow_run() ? STEPS / 10 : STEPS;
    unsigned char value[300];
    uint64_t state = 4101842887655102017u;
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    options.segment_size = 256 << 10;
    freyja_db *db = open_store(path_in(argv[1], "store"), &options);
    make_keys();
    for (int step = 1; step <= steps; step++) {
        size_t n = random_next(&state) % KEYS;
        if (random_next(&state) % 3 == 0) {
            int expected = model[n].present ? FREYJA_OK : FREYJA_NOT_FOUND;
            CHECK_STATUS(freyja_delete(db, model[n].key, model[n].key_len), expected);
            model[n].present = 0;
        } else {
            size_t length = value_for(n, (uint64_t)step, value);
            CHECK_OK(freyja_put(db, model[n].key, model[n].key_len, value, length));
            model[n].present = 1;
            model[n].version = (uint64_t)step;
        }
        if (step % (steps / 4) == 0) {
            check_all(db);
            CHECK_OK(freyja_close(db));
            db = open_store(path_in(argv[1], "store"), &options);
            check_all(db);
        }
    }
    CHECK_OK(freyja_close(db));
    return 0;
}
