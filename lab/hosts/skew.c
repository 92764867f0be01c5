/* A host's own clock, for programs that ask the C library: this machine's, and SKEW_S seconds.
 *
 * Named in a host's /etc/ld.so.preload. Built by this machine for a host whose C library may be older, so it asks the
 * kernel by `syscall` alone. Programs that ask the kernel without the C library (Go's do) see this machine's clock.
 */
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct micro {
	long seconds, micros;
};

int clock_gettime(clockid_t clock, struct timespec *now)
{
	long failed = syscall(SYS_clock_gettime, clock, now);
	if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += SKEW_S;
	return (int)failed;
}

int gettimeofday(struct micro *now, void *zone)
{
	struct timespec exact;
	(void)zone;
	if (now && !clock_gettime(CLOCK_REALTIME, &exact))
		*now = (struct micro){exact.tv_sec, exact.tv_nsec / 1000};
	return 0;
}

int timespec_get(struct timespec *now, int base)
{
	return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}

time_t time(time_t *now)
{
	struct timespec exact;
	if (clock_gettime(CLOCK_REALTIME, &exact))
		return -1;
	if (now)
		*now = exact.tv_sec;
	return exact.tv_sec;
}
