/* config.c - see config.h. */
#include "vmm/config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

const char config_usage[] =
	"usage: conker-vmm --memory-mib N --cpus N --kernel-fd FD --cmdline STRING\n"
	"                  [--initrd-fd FD] [--disk FD[:ro]]... [--vsock-listen FD:PORT]...\n"
	"                  [--console-fd FD] [--state-fd FD] [--lock-fd FD] [--owner-fd FD]\n"
	"                  [--detach] [--verbose]\n"
	"One virtual machine; every file is an inherited descriptor (conker-vmm(1)). Example:\n"
	"  conker-vmm --memory-mib 128 --cpus 1 --kernel-fd 3 --initrd-fd 4 --console-fd 1 \\\n"
	"             --cmdline 'console=hvc0 panic=-1' 3<vmlinux 4<initrd.cpio\n";

/* Digits only, at most max; *end is what follows. No sign, no space, no other base: strtoul() takes
 * all of those. */
static int parse_number(const char *s, const char **end, uint32_t max, uint32_t *ret)
{
	uint64_t n = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (uint64_t)(*s - '0');
		if (n > max)
			return -ERANGE;
	}
	*end = s;
	*ret = (uint32_t)n;
	return 0;
}

static int take_number(const char *opt, const char *val, unsigned *ret, struct err *e)
{
	const char *end;
	uint32_t n;

	if (parse_number(val, &end, INT_MAX, &n) < 0 || *end)
		return err_set(e, EINVAL, "--%s: '%s' is not a number", opt, val);
	*ret = n;
	return 0;
}

static int take_fd_number(const char *opt, const char *val, int *ret, struct err *e)
{
	const char *end;
	uint32_t n;

	if (parse_number(val, &end, INT_MAX, &n) < 0 || *end)
		return err_set(e, EINVAL, "--%s: '%s' is not a descriptor number", opt, val);
	*ret = (int)n;
	return 0;
}

static int take_disk(const char *val, struct config *c, struct err *e)
{
	const char *end;
	uint32_t n;

	if (c->ndisks == CONFIG_DISKS_MAX)
		return err_set(e, EINVAL, "--disk: at most %d disks", CONFIG_DISKS_MAX);
	if (parse_number(val, &end, INT_MAX, &n) < 0 || (*end && strcmp(end, ":ro") != 0))
		return err_set(e, EINVAL, "--disk: '%s' is not FD or FD:ro", val);
	c->disk[c->ndisks++] = (struct config_disk){.fd = (int)n, .read_only = *end != '\0'};
	return 0;
}

static int take_listener(const char *val, struct config *c, struct err *e)
{
	const char *end;
	uint32_t fd, port;

	if (c->nlisteners == CONFIG_LISTENERS_MAX)
		return err_set(e, EINVAL, "--vsock-listen: at most %d", CONFIG_LISTENERS_MAX);
	if (parse_number(val, &end, INT_MAX, &fd) < 0 || *end != ':' ||
	    parse_number(end + 1, &end, UINT32_MAX - 1, &port) < 0 || *end)
		return err_set(e, EINVAL, "--vsock-listen: '%s' is not FD:PORT", val);
	c->listener[c->nlisteners++] = (struct config_listener){.fd = (int)fd, .port = port};
	return 0;
}

/* Options that take a value. */
static int take_option(const char *opt, const char *val, struct config *c, struct err *e)
{
	const struct {
		const char *name;
		int *fd;
	} fds[] = {
		{"kernel-fd", &c->kernel_fd},   {"initrd-fd", &c->initrd_fd},
		{"console-fd", &c->console_fd}, {"state-fd", &c->state_fd},
		{"lock-fd", &c->lock_fd},       {"owner-fd", &c->owner_fd},
	};

	for (size_t i = 0; i < countof(fds); i++)
		if (strcmp(opt, fds[i].name) == 0)
			return take_fd_number(opt, val, fds[i].fd, e);
	if (strcmp(opt, "memory-mib") == 0)
		return take_number(opt, val, &c->memory_mib, e);
	if (strcmp(opt, "cpus") == 0)
		return take_number(opt, val, &c->cpus, e);
	if (strcmp(opt, "disk") == 0)
		return take_disk(val, c, e);
	if (strcmp(opt, "vsock-listen") == 0)
		return take_listener(val, c, e);
	if (strcmp(opt, "cmdline") == 0) {
		c->cmdline = val;
		return 0;
	}
	return err_set(e, EINVAL, "unknown option '--%s'", opt);
}

/* Options that take none; NULL if opt is not one of them. */
static bool *flag_of(const char *opt, struct config *c)
{
	if (strcmp(opt, "detach") == 0)
		return &c->detach;
	if (strcmp(opt, "verbose") == 0)
		return &c->verbose;
	if (strcmp(opt, "help") == 0)
		return &c->help;
	return NULL;
}

static int check(const struct config *c, struct err *e)
{
	if (c->kernel_fd < 0)
		return err_set(e, EINVAL, "--kernel-fd is missing");
	if (!c->cmdline)
		return err_set(e, EINVAL, "--cmdline is missing");
	if (strlen(c->cmdline) > CONFIG_CMDLINE_MAX)
		return err_set(e, EINVAL, "--cmdline: longer than %d bytes", CONFIG_CMDLINE_MAX);
	if (c->memory_mib < CONFIG_MEMORY_MIN_MIB || c->memory_mib > CONFIG_MEMORY_MAX_MIB)
		return err_set(e, EINVAL, "--memory-mib: give %d to %d", CONFIG_MEMORY_MIN_MIB,
			       CONFIG_MEMORY_MAX_MIB);
	if (c->cpus < 1 || c->cpus > CONFIG_CPUS_MAX)
		return err_set(e, EINVAL, "--cpus: give 1 to %d", CONFIG_CPUS_MAX);
	return 0;
}

int config_parse(int argc, char *const argv[], struct config *ret, struct err *e)
{
	struct config c = {.kernel_fd = -1,
			   .initrd_fd = -1,
			   .console_fd = -1,
			   .state_fd = -1,
			   .lock_fd = -1,
			   .owner_fd = -1};

	for (int i = 1; i < argc; i++) {
		const char *opt = argv[i] + 2;

		if (strncmp(argv[i], "--", 2) != 0)
			return err_set(e, EINVAL, "unexpected argument '%s'", argv[i]);
		bool *flag = flag_of(opt, &c);
		if (flag) {
			*flag = true;
			continue;
		}
		if (i + 1 == argc)
			return err_set(e, EINVAL, "'%s' is unknown or lacks its value", argv[i]);
		int r = take_option(opt, argv[++i], &c, e);
		if (r < 0)
			return r;
	}
	int r = c.help ? 0 : check(&c, e);
	if (r == 0)
		*ret = c;
	return r;
}
