/* The library tells its version and has a text for every status. */
#include "check.h"

static void header_and_library_are_of_one_version(void) {
    char text[64];
    snprintf(text, sizeof text, "%d.%d.%d", FREYJA_VERSION_MAJOR, FREYJA_VERSION_MINOR,
             FREYJA_VERSION_PATCH);
    CHECK(strcmp(text, FREYJA_VERSION_STRING) == 0);
    CHECK(strcmp(text, freyja_version()) == 0);
    CHECK(freyja_version_number() == FREYJA_VERSION_NUMBER);
    CHECK(FREYJA_VERSION_NUMBER == FREYJA_VERSION_MAJOR * 1000000 + FREYJA_VERSION_MINOR * 1000 +
                                       FREYJA_VERSION_PATCH);
}

/* The numbers are part of the binary interface: this list only ever grows. */
static void status_codes_have_their_numbers(void) {
    CHECK(FREYJA_OK == 0);
    CHECK(FREYJA_NOT_FOUND == -1);
    CHECK(FREYJA_DONE == -2);
    CHECK(FREYJA_INVALID == -3);
    CHECK(FREYJA_RANGE == -4);
    CHECK(FREYJA_BUSY == -5);
    CHECK(FREYJA_CLOSED == -6);
    CHECK(FREYJA_EXISTS == -7);
    CHECK(FREYJA_READ_ONLY == -8);
    CHECK(FREYJA_TOO_LARGE == -9);
    CHECK(FREYJA_CORRUPT == -10);
    CHECK(FREYJA_FAILED == -11);
    CHECK(FREYJA_VERSION == -12);
    CHECK(FREYJA_UNSUPPORTED == -13);
    CHECK(FREYJA_MEMORY == -14);
    CHECK(FREYJA_FORKED == -15);
    CHECK(FREYJA_PANIC == -16);
    CHECK(FREYJA_SYNC_ALWAYS == 0 && FREYJA_SYNC_INTERVAL == 1 && FREYJA_SYNC_NONE == 2);
    CHECK(FREYJA_KEYS_IN_MEMORY == 0 && FREYJA_KEYS_ON_DISK == 1);
    CHECK(FREYJA_READ_MAPPED == 0 && FREYJA_READ_PREAD == 1);
    CHECK(FREYJA_MUST_EXIST == 1 && FREYJA_MUST_BE_NEW == 2 && FREYJA_READ_ONLY_STORE == 4);
    CHECK(FREYJA_MAX_KEY_LEN == 65536 && FREYJA_MAX_VALUE_LEN == 2147483647);
}

static void every_status_has_a_text(void) {
    for (int status = -16; status <= 255; status++) {
        const char *text = freyja_strerror(status);
        CHECK(text != NULL && text[0] != '\0');
        CHECK(strcmp(text, "unknown status") != 0);
        CHECK(freyja_strerror(status) == text);
        for (int other = -16; other < status && status <= 0; other++)
            CHECK(strcmp(text, freyja_strerror(other)) != 0);
    }
    CHECK(strstr(freyja_strerror(ENOSPC), strerror(ENOSPC)) != NULL);
    const int strange[] = {-17, -1000, 256, 100000, INT32_MIN, INT32_MAX};
    for (size_t n = 0; n < sizeof strange / sizeof strange[0]; n++)
        CHECK(strcmp(freyja_strerror(strange[n]), "unknown status") == 0);
}

/* The layout is part of the binary interface too. */
static void structs_have_their_layout(void) {
    CHECK(sizeof(freyja_options) == 80 && offsetof(freyja_options, segment_size) == 32);
    CHECK(offsetof(freyja_options, flags) == 4 && offsetof(freyja_options, sync_mode) == 8);
    CHECK(offsetof(freyja_options, background_threads) == 24);
    CHECK(offsetof(freyja_options, expected_keys) == 56 && offsetof(freyja_options, compaction) == 64);
    CHECK(offsetof(freyja_options, compaction_bytes_per_second) == 72);
    CHECK(sizeof(freyja_stats_t) == 496 && offsetof(freyja_stats_t, keys) == 8);
    CHECK(offsetof(freyja_stats_t, recovery_microseconds) == 176);
    CHECK(offsetof(freyja_stats_t, buffers_refused) == 208);
    CHECK(offsetof(freyja_stats_t, shards_rebuilt) == 256);
    CHECK(offsetof(freyja_stats_t, image_bytes) == 312);
    CHECK(offsetof(freyja_stats_t, index_idle_bytes) == 320);
    CHECK(offsetof(freyja_stats_t, compaction_bytes_written) == 376);
    CHECK(offsetof(freyja_stats_t, pins_in_use) == 384);
    CHECK(offsetof(freyja_stats_t, work_bytes) == 392);
    CHECK(offsetof(freyja_stats_t, memory_evacuations) == 432);
    CHECK(offsetof(freyja_stats_t, batch_bytes) == 480);
    CHECK(sizeof(freyja_memory_pressure_t) == 80 && offsetof(freyja_memory_pressure_t, used_bytes) == 16);
    CHECK(offsetof(freyja_memory_pressure_t, samples) == 72);
    CHECK(sizeof(freyja_location) == 40 && offsetof(freyja_location, sequence) == 32);
    CHECK(sizeof(freyja_error) == 512 && offsetof(freyja_error, offset) == 8);
    CHECK(offsetof(freyja_error, message) == 16);
}

int main(void) {
    header_and_library_are_of_one_version();
    status_codes_have_their_numbers();
    every_status_has_a_text();
    structs_have_their_layout();
    return 0;
}
