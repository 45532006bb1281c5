/* Damaged files cost what was damaged, are reported with their place, and never give wrong bytes. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS = 20 };

static char *segment_path(const char *store, uint64_t id) {
    char name[32];
    snprintf(name, sizeof name, "%016llx.seg", (unsigned long long)id);
    return path_in(store, name);
}

static void read_at(const char *path, off_t offset, void *bytes, size_t length) {
    int file = open(path, O_RDONLY);
    CHECK(file >= 0 && pread(file, bytes, length, offset) == (ssize_t)length);
    close(file);
}

static void write_at(const char *path, off_t offset, const void *bytes, size_t length) {
    int file = open(path, O_WRONLY);
    CHECK(file >= 0 && pwrite(file, bytes, length, offset) == (ssize_t)length);
    close(file);
}

static void flip_byte(const char *path, off_t offset) {
    unsigned char byte;
    read_at(path, offset, &byte, 1);
    byte ^= 0x40;
    write_at(path, offset, &byte, 1);
}

static void fill(freyja_db *db) {
    char key[16], value[64];
    for (int n = 0; n < KEYS; n++) {
        snprintf(key, sizeof key, "key %d", n);
        snprintf(value, sizeof value, "the value of key %d, long enough to hit", n);
        CHECK_OK(put_text(db, key, value));
    }
}

/* All keys but one have their values; that one answers FREYJA_CORRUPT in every way that reads it. */
static void check_all_but(freyja_db *db, int damaged) {
    char key[16], value[64];
    for (int n = 0; n < KEYS; n++) {
        snprintf(key, sizeof key, "key %d", n);
        snprintf(value, sizeof value, "the value of key %d, long enough to hit", n);
        if (n != damaged) {
            check_text(db, key, value);
            continue;
        }
        void *got = &got;
        size_t length = 77;
        char buffer[64];
        CHECK_STATUS(freyja_get(db, key, strlen(key), &got, &length), FREYJA_CORRUPT);
        CHECK(got == &got && length == 77);
        CHECK_STATUS(freyja_get_into(db, key, strlen(key), buffer, sizeof buffer, &length),
                     FREYJA_CORRUPT);
        freyja_pin *pin;
        const void *pinned;
        CHECK_STATUS(freyja_get_pinned(db, key, strlen(key), &pin, &pinned, &length), FREYJA_CORRUPT);
        CHECK(length == 77);
    }
}

static void check_failure_names(freyja_db *db, const char *file, const freyja_location *location) {
    freyja_error failure;
    memset(&failure, 0xaa, sizeof failure);
    CHECK_OK(freyja_failure(db, &failure));
    CHECK(failure.code == FREYJA_CORRUPT && failure.sys_errno == 0);
    CHECK(strstr(failure.message, file) != NULL);
    CHECK(failure.offset >= location->offset && failure.offset < location->offset + location->length);
}

static void damage_under_an_open_store(const char *path, uint32_t read_mode) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    freyja_location location;
    freyja_error failure;
    options.read_mode = read_mode;
    freyja_db *db = open_store(path, &options);
    fill(db);
    CHECK_STATUS(freyja_failure(db, &failure), FREYJA_NOT_FOUND);
    CHECK_OK(freyja_locate(db, "key 7", 5, &location, sizeof location));
    const char *file = segment_path(path, location.segment_id);
    flip_byte(file, (off_t)(location.offset + location.length / 2));
    check_all_but(db, 7);
    check_failure_names(db, file, &location);
    /* Damage does not stop writing, and a new value heals the key. */
    CHECK_OK(put_text(db, "key 7", "the value of key 7, long enough to hit"));
    check_all_but(db, -1);
    CHECK_OK(freyja_close(db));
}

/* So that the next open reads all segment files. */
static void remove_images(const char *store) {
    DIR *directory = opendir(store);
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strncmp(entry->d_name, "index-", 6) == 0)
            CHECK(unlink(path_in(store, entry->d_name)) == 0);
    closedir(directory);
}

/* With an image of the index the damage is found by who reads the record, without one by opening. */
static void damage_to_a_closed_store(const char *path, uint32_t read_mode, int with_image) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    freyja_location location;
    freyja_db *db = open_store(path, NULL);
    fill(db);
    CHECK_OK(freyja_locate(db, "key 3", 5, &location, sizeof location));
    CHECK_OK(freyja_close(db));
    const char *file = segment_path(path, location.segment_id);
    flip_byte(file, (off_t)(location.offset + location.length / 2));
    options.read_mode = read_mode;
    if (!with_image)
        remove_images(path);
    db = open_store(path, &options);
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.recovery_cut_bytes == 0);
    if (with_image) {
        CHECK(stats.recovery_way == FREYJA_RECOVERED_BY_IMAGE);
    } else {
        CHECK(stats.recovery_way == FREYJA_RECOVERED_BY_SCAN && stats.recovery_image_fault == FREYJA_IMAGE_ABSENT);
        CHECK(stats.recovery_damaged_spans == 1 && stats.recovery_damaged_bytes >= location.length);
        check_failure_names(db, file, &location);
    }
    check_all_but(db, 3);
    check_failure_names(db, file, &location);
    CHECK_OK(put_text(db, "key 3", "the value of key 3, long enough to hit"));
    check_all_but(db, -1);
    CHECK_OK(freyja_close(db));
}

static void an_old_value_never_comes_back(const char *path) {
    freyja_location location;
    freyja_db *db = open_store(path, NULL);
    CHECK_OK(put_text(db, "key", "old"));
    CHECK_OK(put_text(db, "key", "new"));
    CHECK_OK(freyja_locate(db, "key", 3, &location, sizeof location));
    CHECK_OK(put_text(db, "other", "value"));
    CHECK_OK(freyja_close(db));
    /* Within the value of the newest record. */
    flip_byte(segment_path(path, location.segment_id), (off_t)(location.offset + location.length - 5));
    db = open_store(path, NULL);
    void *got = NULL;
    size_t length;
    int status = freyja_get(db, "key", 3, &got, &length);
    if (status == FREYJA_OK)
        CHECK(length == 3 && memcmp(got, "new", 3) == 0); /* the flip hit padding only */
    else
        CHECK_STATUS(status, FREYJA_CORRUPT);
    freyja_free_buf(got);
    check_text(db, "other", "value");
    CHECK_OK(freyja_close(db));
}

static uint32_t crc32(const unsigned char *bytes, size_t length) {
    uint32_t crc = 0xffffffff;
    for (size_t n = 0; n < length; n++) {
        crc ^= bytes[n];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* docs/format.md: the version is at byte 8 of a segment, the header's checksum in the last 4 of 128. */
static void a_newer_format_is_refused_and_left_alone(const char *path) {
    freyja_location location;
    unsigned char header[128], before[4096] = {0}, after[4096] = {0};
    freyja_error error;
    freyja_db *db = open_store(path, NULL);
    CHECK_OK(put_text(db, "key", "value"));
    CHECK_OK(freyja_locate(db, "key", 3, &location, sizeof location));
    CHECK_OK(freyja_close(db));
    const char *file = segment_path(path, location.segment_id);
    read_at(file, 0, header, sizeof header);
    uint32_t crc = crc32(header, 124);
    CHECK(memcmp(&crc, header + 124, 4) == 0);
    header[8] = 2;
    crc = crc32(header, 124);
    memcpy(header + 124, &crc, 4);
    write_at(file, 0, header, sizeof header);
    struct stat size;
    CHECK(stat(file, &size) == 0 && (size_t)size.st_size <= sizeof before);
    read_at(file, 0, before, (size_t)size.st_size);
    db = NULL;
    CHECK_STATUS(freyja_open(path, NULL, &db, &error), FREYJA_VERSION);
    CHECK(db == NULL && error.code == FREYJA_VERSION);
    CHECK(strstr(error.message, file) != NULL);
    read_at(file, 0, after, (size_t)size.st_size);
    CHECK(memcmp(before, after, sizeof before) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    damage_under_an_open_store(path_in(argv[1], "open mapped"), FREYJA_READ_MAPPED);
    damage_under_an_open_store(path_in(argv[1], "open pread"), FREYJA_READ_PREAD);
    for (int with_image = 0; with_image < 2; with_image++) {
        damage_to_a_closed_store(path_in(argv[1], with_image ? "image mapped" : "scan mapped"), FREYJA_READ_MAPPED, with_image);
        damage_to_a_closed_store(path_in(argv[1], with_image ? "image pread" : "scan pread"), FREYJA_READ_PREAD, with_image);
    }
    an_old_value_never_comes_back(path_in(argv[1], "old"));
    a_newer_format_is_refused_and_left_alone(path_in(argv[1], "newer"));
    return 0;
}
