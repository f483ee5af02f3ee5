/* Logs of runs, as `report` and `train --resume` read them. */
#include "fuzz.h"
#include "run.h"
#include "said.h"

#include <math.h>
#include <string.h>

static void begin(void)
{
    static const char one[] =
        "{\"event\":\"start\",\"device\":{\"id\":\"cpu\"},\"devices\":[{\"id\":\"gpu:0\"},{\"id\":\"gpu:1\"}],"
        "\"batch\":16,\"micro_batch\":2,\"parameters\":100,\"stages\":[\"dense\"],\"seed\":7}\n"
        "{\"event\":\"step\",\"step\":10,\"tokens\":640,\"seconds\":1.25,\"bits\":4.9,\"shares\":[4,4],\"rates\":[1.0]}\n"
        "{\"event\":\"device\",\"change\":\"lost\",\"member\":1,\"id\":\"gpu:1\",\"step\":15,\"before\":4,\"after\":0}\n"
        "{\"event\":\"device\",\"change\":\"rollback\",\"member\":0,\"id\":\"gpu:0\",\"step\":5,\"after\":8}\n"
        "{\"event\":\"evaluation\",\"step\":20,\"tokens\":1280,\"seconds\":2.5,\"dense\":4.5,\"sampled\":4.6}\n"
        "{\"event\":\"end\",\"status\":\"finished\",\"step\":20,\"peak_bytes\":1000}\n";
    static const char two[] =
        "{\"event\":\"start\",\"stages\":[\"dense\"]}\n{\"event\":\"resume\",\"step\":5}\n"
        "{\"event\":\"step\",\"step\":6,\"tokens\":10,\"seconds\":1,\"bits\":3}\n"
        "{\"event\":\"profile\",\"passes\":1,\"attention_seconds\":1}\n{\"event\":\"test\",\"dense\":{\"bits\":2}}\n"
        "{\"event\":\"step\",\"st";
    fuzz_seed(one, sizeof one - 1);
    fuzz_seed(two, sizeof two - 1);
}

static bool run(const unsigned char *bytes, size_t size)
{
    struct run log;
    const char *path = fuzz_path("log");
    fuzz_write(path, bytes, size);
    said_begin();
    int status = run_read(&log, path);
    said_end(status);
    if (status)
        return false;
    MUST(!isnan(run_seconds_at(&log, 10)), "the seconds of a step");
    MUST(log.devices >= 0 && log.devices <= RUN_DEVICES, "%d devices", log.devices);
    run_free(&log);
    return true;
}

const struct fuzz_target fuzz_log = {"log", begin, run, NULL,
    "\"event\": \"step\" \"start\" \"device\" \"rollback\" \"share\" \"joined\" \"resume\" \"member\": \"shares\": [1,2,3] "
    "\"seconds\": null true {} [] \n \"tokens\": \"bits\": \"batch\":0 \"micro_batch\":0"};
