/* A store that is not open is verified and repaired: findings name file, place and key; the original stays as it is. */
#include "check.h"

#include <fcntl.h>
#include <unistd.h>

enum { KEYS = 20 };

/* What the callback saw. */
struct seen {
    int findings;
    freyja_finding last;
    char file[4096];
    char message[512];
    char key[64];
};

static void note(const freyja_finding *finding, void *user) {
    struct seen *seen = user;
    CHECK(finding->struct_size == sizeof *finding && finding->reserved == 0);
    CHECK(finding->key_len < sizeof seen->key);
    seen->findings++;
    seen->last = *finding;
    snprintf(seen->file, sizeof seen->file, "%s", finding->file);
    snprintf(seen->message, sizeof seen->message, "%s", finding->message);
    memcpy(seen->key, finding->key_len ? finding->key : "", finding->key_len);
    seen->key[finding->key_len] = 0;
}

static void flip_byte(const char *path, off_t offset) {
    unsigned char byte;
    int file = open(path, O_RDWR);
    CHECK(file >= 0 && pread(file, &byte, 1, offset) == 1);
    byte ^= 0x40;
    CHECK(pwrite(file, &byte, 1, offset) == 1);
    close(file);
}

/* Nothing is merged, so that older versions stay. */
static freyja_db *open_unmerged(const char *path) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    options.compaction = FREYJA_COMPACTION_MANUAL;
    return open_store(path, &options);
}

/* Two versions of each key, the first of which says so. */
static void fill(const char *path) {
    freyja_db *db = open_unmerged(path);
    char key[16], value[64];
    for (int version = 1; version <= 2; version++)
        for (int n = 0; n < KEYS; n++) {
            snprintf(key, sizeof key, "key %d", n);
            snprintf(value, sizeof value, "version %d of key %d, long enough to hit", version, n);
            CHECK_OK(put_text(db, key, value));
        }
    CHECK_OK(freyja_close(db));
}

static char *damage(const char *path, const char *key, freyja_location *location) {
    char name[32];
    freyja_db *db = open_unmerged(path);
    CHECK_OK(freyja_locate(db, key, strlen(key), location, sizeof *location));
    CHECK_OK(freyja_close(db));
    snprintf(name, sizeof name, "%016llx.seg", (unsigned long long)location->segment_id);
    char *file = path_in(path, name);
    flip_byte(file, (off_t)(location->offset + location->length / 2));
    return file;
}

static void a_sound_store_is_sound(const char *path) {
    struct seen seen = {0};
    freyja_verify_report report;
    freyja_error error;
    memset(&report, 0xaa, sizeof report);
    CHECK_OK(freyja_verify(path, note, &seen, &report, sizeof report, &error));
    CHECK(report.struct_size == sizeof report && report.reserved == 0);
    CHECK(report.keys == KEYS && report.records == 2 * KEYS && report.segments == 1);
    CHECK(report.images == 1 && report.findings == 0 && report.damages == 0 && seen.findings == 0);
    /* Everything but the path may be left out. */
    CHECK_OK(freyja_verify(path, NULL, NULL, NULL, 0, NULL));
}

static void damage_is_named(const char *path) {
    struct seen seen = {0};
    freyja_location location;
    freyja_verify_report report;
    freyja_error error;
    const char *file = damage(path, "key 7", &location);
    CHECK_STATUS(freyja_verify(path, note, &seen, &report, sizeof report, &error), FREYJA_CORRUPT);
    CHECK(report.keys == KEYS - 1 && report.lost_keys == 1 && report.damages == 1 && report.losses == 1);
    CHECK(report.unidentified_records == 0 && report.keys_in_doubt == 0);
    CHECK(seen.findings == 1 && strcmp(seen.file, file) == 0 && strcmp(seen.key, "key 7") == 0);
    CHECK(seen.last.kind == FREYJA_FOUND_DAMAGED_RECORD && seen.last.severity == FREYJA_LOSS);
    CHECK(seen.last.offset == location.offset && seen.last.length == location.length);
    CHECK(seen.last.first_sequence == location.sequence && seen.last.last_sequence == location.sequence);
    CHECK(strlen(seen.message) > 20);
    CHECK(error.code == FREYJA_CORRUPT && error.offset == location.offset && strstr(error.message, file));
}

static void a_repair_saves_the_others(const char *path, const char *destination, uint32_t flags) {
    struct seen seen = {0};
    freyja_repair_report report;
    freyja_error error;
    int older = flags == FREYJA_REPAIR_OLDER_VERSIONS;
    memset(&report, 0xaa, sizeof report);
    CHECK_OK(freyja_repair(path, destination, flags, note, &seen, &report, sizeof report, &error));
    CHECK(report.struct_size == sizeof report && report.reserved == 0);
    CHECK(report.keys_saved == (uint64_t)(KEYS - 1 + older) && report.keys_left_out == (uint64_t)!older);
    CHECK(report.older_versions == (uint64_t)older && report.losses == 1);
    CHECK(seen.findings == 1 + older);
    CHECK(!older || seen.last.kind == FREYJA_FOUND_OLDER_VERSION);

    freyja_db *db = open_store(destination, NULL);
    CHECK(count_of(db) == report.keys_saved);
    check_text(db, "key 6", "version 2 of key 6, long enough to hit");
    if (older)
        check_text(db, "key 7", "version 1 of key 7, long enough to hit");
    else
        check_missing(db, "key 7", 5);
    /* The copy goes on as a store of its own. */
    CHECK_OK(put_text(db, "key 7", "new"));
    CHECK_OK(freyja_close(db));
    CHECK_OK(freyja_verify(destination, NULL, NULL, NULL, 0, &error));
    /* And nothing is written over it. */
    CHECK_STATUS(freyja_repair(path, destination, 0, NULL, NULL, NULL, 0, &error), FREYJA_EXISTS);
    CHECK(error.code == FREYJA_EXISTS && strstr(error.message, destination));
}

static void an_open_store_is_busy(const char *path, const char *destination) {
    freyja_error error;
    freyja_options options = FREYJA_OPTIONS_INIT;
    freyja_db *db = open_unmerged(path);
    CHECK_STATUS(freyja_verify(path, NULL, NULL, NULL, 0, &error), FREYJA_BUSY);
    CHECK_STATUS(freyja_repair(path, destination, 0, NULL, NULL, NULL, 0, &error), FREYJA_BUSY);
    CHECK_OK(freyja_close(db));
    options.flags = FREYJA_READ_ONLY_STORE;
    db = open_store(path, &options);
    CHECK_STATUS(freyja_verify(path, NULL, NULL, NULL, 0, &error), FREYJA_CORRUPT);
    CHECK_OK(freyja_close(db));
}

static void misuse_is_answered(const char *path, const char *elsewhere) {
    freyja_error error;
    freyja_verify_report report;
    CHECK_STATUS(freyja_verify(NULL, NULL, NULL, NULL, 0, &error), FREYJA_INVALID);
    CHECK_STATUS(freyja_verify(path, NULL, NULL, &report, 3, &error), FREYJA_INVALID);
    CHECK_STATUS(freyja_verify(path, NULL, NULL, &report, 4096 * 2, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_verify(elsewhere, NULL, NULL, NULL, 0, &error), FREYJA_NOT_FOUND);
    CHECK_STATUS(freyja_repair(path, NULL, 0, NULL, NULL, NULL, 0, &error), FREYJA_INVALID);
    CHECK_STATUS(freyja_repair(NULL, elsewhere, 0, NULL, NULL, NULL, 0, &error), FREYJA_INVALID);
    CHECK_STATUS(freyja_repair(path, elsewhere, 2, NULL, NULL, NULL, 0, &error), FREYJA_INVALID);
    CHECK(access(elsewhere, F_OK) != 0);
}

static void an_unfinished_copy_is_refused(const char *path) {
    freyja_error error;
    freyja_verify_report report;
    freyja_db *db = NULL;
    const char *marker = path_in(path, "INCOMPLETE");
    close(open(marker, O_CREAT | O_WRONLY, 0600));
    CHECK_STATUS(freyja_open(path, NULL, &db, &error), FREYJA_CORRUPT);
    CHECK(strstr(error.message, "never finished"));
    CHECK_STATUS(freyja_verify(path, NULL, NULL, &report, sizeof report, &error), FREYJA_CORRUPT);
    CHECK(report.keys == 0 && report.damages == 1);
    CHECK(unlink(marker) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const char *path = path_in(argv[1], "store");
    fill(path);
    a_sound_store_is_sound(path);
    damage_is_named(path);
    a_repair_saves_the_others(path, path_in(argv[1], "repaired"), 0);
    a_repair_saves_the_others(path, path_in(argv[1], "older"), FREYJA_REPAIR_OLDER_VERSIONS);
    misuse_is_answered(path, path_in(argv[1], "elsewhere"));
    an_open_store_is_busy(path, path_in(argv[1], "third"));
    an_unfinished_copy_is_refused(path);
    return 0;
}
