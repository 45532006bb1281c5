/* Every allocation fails, one after the other, once or from then on: no abort, no lost handle, no lost data. */
#include "scenario.h"


static int is_memory(int status) {
    return status == FREYJA_MEMORY || status == ENOMEM;
}

static long sweep(const char *path, const freyja_options *options, const char *before, int with_many, long stride) {
    begin(path, before);
    arm(ALLOCATIONS, -1, 0, 0, 0);
    live(path, options, with_many);
    disarm();
    long calls = fault.calls, tried = 0;
    CHECK(calls > 50);
    check_afterwards(path, options, with_many);
    for (int sticky = 0; sticky < 2; sticky++) {
        for (long at = sticky; at < calls; at += stride) {
            begin(path, before);
            arm(ALLOCATIONS, at, sticky, 0, 0);
            live(path, options, with_many);
            disarm();
            check_afterwards(path, options, with_many);
            tried++;
        }
    }
    printf("%s, %u background threads, %s: %ld allocations, %ld failures\n", before == NULL ? "new" : strrchr(before, '.') + 1,
           options->background_threads, options->key_storage ? "keys on disk" : "keys in memory", calls, tried);
    return tried;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    char path[4200], killed[4300], closed[4300];
    const char *text = getenv("FREYJA_STRIDE");
    long stride = text == NULL ? 1 : atol(text), tried = 0;
    is_proper = is_memory;
    did_not_happen = is_memory;
    for (unsigned setting = 0; setting < 4; setting++) {
        freyja_options options = FREYJA_OPTIONS_INIT;
        options.segment_size = 16384;
        options.sync_mode = setting == 3 ? FREYJA_SYNC_ALWAYS : FREYJA_SYNC_NONE;
        options.background_threads = setting / 2;
        options.key_storage = setting % 2;
        options.read_mode = setting % 2;
        snprintf(path, sizeof path, "%s/store%u", argv[1], setting);
        make_stores(path, &options, killed, closed);
        tried += sweep(path, &options, NULL, 1, stride);
        tried += sweep(path, &options, killed, 0, stride);
        tried += sweep(path, &options, closed, 0, stride);
    }
    printf("%ld failures of allocations\n", tried);
    return 0;
}
