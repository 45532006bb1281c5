/* The smallest and the largest keys and values. */
#include "check.h"

#include <sys/statvfs.h>

/* A byte that depends on its place, so that shifted or mixed-up bytes are noticed. */
static unsigned char byte_at(size_t place, unsigned char seed) {
    return (unsigned char)(place * 31 + (place >> 12) * 7 + seed);
}

static unsigned char *pattern(size_t length, unsigned char seed) {
    unsigned char *bytes = malloc(length + 1);
    CHECK(bytes != NULL);
    for (size_t n = 0; n < length; n++)
        bytes[n] = byte_at(n, seed);
    return bytes;
}

static void keys_up_to_the_limit_round_trip(freyja_db *db) {
    unsigned char *key = pattern(FREYJA_MAX_KEY_LEN + 1, 1);
    const size_t lengths[] = {0, 1, 2, 127, 128, 129, 255, 256, 4095, 4096, 16383, 16384,
                              65535, FREYJA_MAX_KEY_LEN};
    const size_t count = sizeof lengths / sizeof lengths[0];
    for (size_t n = 0; n < count; n++)
        CHECK_OK(freyja_put(db, key, lengths[n], &lengths[n], sizeof lengths[n]));
    for (size_t n = 0; n < count; n++)
        check_value(db, key, lengths[n], &lengths[n], sizeof lengths[n]);
    CHECK(count_of(db) == count);
    CHECK_STATUS(freyja_put(db, key, FREYJA_MAX_KEY_LEN + 1, "", 0), FREYJA_TOO_LARGE);
    CHECK_STATUS(freyja_exists(db, key, FREYJA_MAX_KEY_LEN + 1), FREYJA_TOO_LARGE);
    for (size_t n = 0; n < count; n++)
        CHECK_OK(freyja_delete(db, key, lengths[n]));
    CHECK(count_of(db) == 0);
    free(key);
}

static void values_of_many_lengths_round_trip(freyja_db *db) {
    const size_t lengths[] = {0,     1,     63,    64,      65,      127,     128,    4095,
                              4096,  4097,  65535, 65536,   1000000, 1048576, 1048577, 3000000};
    const size_t count = sizeof lengths / sizeof lengths[0];
    for (size_t n = 0; n < count; n++) {
        unsigned char *value = pattern(lengths[n], (unsigned char)n);
        CHECK_OK(freyja_put(db, &n, sizeof n, value, lengths[n]));
        free(value);
    }
    for (size_t n = 0; n < count; n++) {
        unsigned char *value = pattern(lengths[n], (unsigned char)n);
        check_value(db, &n, sizeof n, value, lengths[n]);
        free(value);
    }
}

static size_t available_memory(void) {
    char line[256];
    size_t kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %zu", &kilobytes) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kilobytes * 1024;
}

static size_t available_disk(const char *directory) {
    struct statvfs space;
    CHECK(statvfs(directory, &space) == 0);
    return (size_t)space.f_bavail * space.f_frsize;
}

/* Under slow tools a smaller value takes the same ways. */
static void a_huge_value_round_trips(const char *directory) {
    const size_t length = is_slow_run() ? (size_t)64 << 20 : (size_t)1 << 30;
    const char *path = path_in(directory, "huge");
    if (available_memory() < 5 * length || available_disk(directory) < 3 * length) {
        printf("skipped: not enough memory or disk for a value of %zu bytes\n", length);
        return;
    }
    unsigned char *value = pattern(length, 5), *got = NULL;
    size_t got_len = 0;
    freyja_db *db = open_store(path, NULL);
    CHECK_OK(freyja_put(db, "huge", 4, value, length));
    CHECK_OK(put_text(db, "after", "small"));
    for (int again = 0; again < 2; again++) {
        CHECK_OK(freyja_get(db, "huge", 4, (void **)&got, &got_len));
        CHECK(got_len == length && memcmp(got, value, length) == 0);
        freyja_free_buf(got);
        CHECK(stats_of(db).buffers_in_use == 0);
        CHECK_STATUS(freyja_get_into(db, "huge", 4, NULL, 0, &got_len), FREYJA_RANGE);
        CHECK(got_len == length);
        check_text(db, "after", "small");
        CHECK_OK(freyja_close(db));
        db = open_store(path, NULL);
    }
    CHECK_OK(delete_text(db, "huge"));
    check_missing(db, "huge", 4);
    CHECK_OK(freyja_close(db));
    free(value);
}

static void a_value_above_the_limit_is_refused(freyja_db *db) {
    uint64_t before = count_of(db);
    CHECK_STATUS(freyja_put(db, "k", 1, "v", (size_t)FREYJA_MAX_VALUE_LEN + 1), FREYJA_TOO_LARGE);
    CHECK(count_of(db) == before);
    check_missing(db, "k", 1);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    freyja_options options = default_options();
    options.segment_size = 1 << 20;
    freyja_db *db = open_store(path_in(argv[1], "store"), &options);
    keys_up_to_the_limit_round_trip(db);
    values_of_many_lengths_round_trip(db);
    a_value_above_the_limit_is_refused(db);
    CHECK_OK(freyja_close(db));
    a_huge_value_round_trips(argv[1]);
    return 0;
}
