/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - see config.h. */
#include "vmm/config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "util/num.h"

const char config_usage[] =
	"usage: conker-vmm --memory-mib N --cpus N --kernel-fd FD --cmdline STRING\n"
	"                  [--initrd-fd FD] [--disk FD[:ro] | --disk FD+FD...:ro]...\n"
	"                  [--vsock-listen FD:PORT]...\n"
	"                  [--console-fd FD] [--state-fd FD] [--lock-fd FD] [--owner-fd FD]\n"
	"                  [--restore STATE_FD:MEMORY_FD] [--ctl-listen FD] [--suspend "
	"STATE_FD:MEMORY_FD]\n"
	"                  [--life-ms N] [--jail on|required|off] [--disk-rate RATE]\n"
	"                  [--vsock-rate RATE] [--console-rate RATE] [--detach] [--verbose]\n"
	"RATE: [BYTES_PER_S][:OPS_PER_S]; 0: no limit.\n"
	"       conker-vmm --jail-check\n"
	"One virtual machine; every file is an inherited descriptor (conker-vmm(1)). Example:\n"
	"  conker-vmm --memory-mib 128 --cpus 1 --kernel-fd 3 --initrd-fd 4 --console-fd 1 \\\n"
	"             --cmdline 'console=hvc0 panic=-1' 3<vmlinux 4<initrd.cpio\n";

/* *end is what follows. */
static int parse_number(const char *s, const char **end, uint32_t max, uint32_t *ret)
{
	uint64_t n;
	int r = num_take(&s, NULL, 10, max, &n);

	*end = s;
	*ret = (uint32_t)n;
	return r;
}

static int parse_fd(const char *s, const char **end, int *ret)
{
	uint32_t n;
	int r = parse_number(s, end, INT_MAX, &n);

	if (r == 0)
		*ret = (int)n;
	return r;
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

/* [BYTES][:OPS]: what is left out stays as it is. */
static int take_rate(const char *opt, const char *val, struct limit *l, struct err *e)
{
	struct limit want = *l;
	const char *at = val;
	int r = 0;

	if (*at != ':')
		r = num_take(&at, NULL, 10, BUCKET_MAX, &want.bytes_per_s);
	if (r == 0 && *at == ':') {
		at++;
		r = num_take(&at, NULL, 10, BUCKET_MAX, &want.ops_per_s);
	}
	if (r == -ERANGE)
		return err_set(e, ERANGE, "--%s: '%s': at most %llu a second; 0 is no limit", opt,
			       val, (unsigned long long)BUCKET_MAX);
	if (r < 0 || *at)
		return err_set(e, EINVAL, "--%s: '%s' is not BYTES_PER_S:OPS_PER_S", opt, val);
	*l = want;
	return 0;
}

/* The files behind the first: +FD each. 0, -E2BIG: too many, or another -errno. */
static int take_parts(const char **at, struct config *c)
{
	while (**at == '+') {
		if (c->nparts == VMM_PARTS_MAX)
			return -E2BIG;
		int r = parse_fd(*at + 1, at, &c->fd[VMM_FD_PART + c->nparts]);
		if (r < 0)
			return r;
		c->nparts++;
		c->disk_parts[c->ndisks]++;
	}
	return 0;
}

static int take_disk(const char *val, struct config *c, struct err *e)
{
	unsigned i = c->ndisks;
	const char *end;

	if (i == VMM_DISKS_MAX)
		return err_set(e, EINVAL, "--disk: at most %d disks", VMM_DISKS_MAX);
	int r = parse_fd(val, &end, &c->fd[VMM_FD_DISK + i]);
	if (r == 0)
		r = take_parts(&end, c);
	if (r == -E2BIG)
		return err_set(e, EINVAL,
			       "--disk: at most %d files in one disk, %d behind the first ones",
			       VMM_PARTS_MAX + 1, VMM_PARTS_MAX);
	if (r < 0 || (*end && strcmp(end, ":ro") != 0))
		return err_set(e, EINVAL, "--disk: '%s' is not FD, FD:ro or FD+FD...:ro", val);
	if (c->disk_parts[i] && !*end)
		return err_set(e, EINVAL,
			       "--disk: '%s': a disk of several files is only read: add ':ro'",
			       val);
	c->disk_is_ro[i] = *end != '\0';
	c->ndisks++;
	return 0;
}

static int take_listener(const char *val, struct config *c, struct err *e)
{
	unsigned n = c->nlisteners;
	const char *end;

	if (n == VMM_LISTENERS_MAX)
		return err_set(e, EINVAL, "--vsock-listen: at most %d", VMM_LISTENERS_MAX);
	if (parse_fd(val, &end, &c->fd[VMM_FD_LISTEN + n]) < 0 || *end != ':' ||
	    parse_number(end + 1, &end, UINT32_MAX - 1, &c->listener_port[n]) < 0 || *end)
		return err_set(e, EINVAL, "--vsock-listen: '%s' is not FD:PORT", val);
	c->nlisteners++;
	return 0;
}

/* FD or FD:FD, from the i-th descriptor of the table on. */
static int take_fds(const char *val, int i, struct config *c, struct err *e)
{
	int two = vmm_fd_has_next(i);
	const char *end;
	int r = parse_fd(val, &end, &c->fd[i]);

	if (r == 0 && two)
		r = *end == ':' ? parse_fd(end + 1, &end, &c->fd[i + 1]) : -EINVAL;
	if (r < 0 || *end)
		return err_set(e, EINVAL, "%s: '%s' is not %s", vmm_fd_option[i], val,
			       two ? "STATE_FD:MEMORY_FD" : "a descriptor number");
	return 0;
}

static int take_jail(const char *val, struct config *c, struct err *e)
{
	if (jail_mode_parse(val, &c->jail) == 0)
		return 0;
	return err_set(e, EINVAL, "--jail: '%s' is not on, required or off", val);
}

/* Options that take a value. */
static int take_option(const char *opt, const char *val, struct config *c, struct err *e)
{
	const struct {
		const char *name;
		struct limit *limit;
	} rates[] = {
		{"disk-rate", &c->disk_rate},
		{"vsock-rate", &c->vsock_rate},
		{"console-rate", &c->console_rate},
	};

	if (strcmp(opt, vmm_fd_option[VMM_FD_DISK] + 2) == 0)
		return take_disk(val, c, e);
	if (strcmp(opt, vmm_fd_option[VMM_FD_LISTEN] + 2) == 0)
		return take_listener(val, c, e);
	for (int i = 0; i < VMM_FDS; i++)
		if (vmm_fd_option[i] && strcmp(opt, vmm_fd_option[i] + 2) == 0)
			return take_fds(val, i, c, e);
	for (size_t i = 0; i < countof(rates); i++)
		if (strcmp(opt, rates[i].name) == 0)
			return take_rate(opt, val, rates[i].limit, e);
	if (strcmp(opt, "memory-mib") == 0)
		return take_number(opt, val, &c->memory_mib, e);
	if (strcmp(opt, "cpus") == 0)
		return take_number(opt, val, &c->cpus, e);
	if (strcmp(opt, "life-ms") == 0)
		return take_number(opt, val, &c->life_ms, e);
	if (strcmp(opt, "jail") == 0)
		return take_jail(val, c, e);
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
	if (strcmp(opt, "jail-check") == 0)
		return &c->jail_check;
	if (strcmp(opt, "help") == 0)
		return &c->help;
	return NULL;
}

/* A machine begins with a kernel, or where another stood still. */
static int check_start(const struct config *c, struct err *e)
{
	if (c->fd[VMM_FD_RESTORE_STATE] >= 0)
		return c->fd[VMM_FD_KERNEL] >= 0 || c->fd[VMM_FD_INITRD] >= 0 || c->cmdline
			       ? err_set(e, EINVAL,
					 "--restore goes with none of --kernel-fd, --initrd-fd, "
					 "--cmdline")
			       : 0;
	if (c->fd[VMM_FD_KERNEL] < 0)
		return err_set(e, EINVAL, "--kernel-fd is missing");
	if (!c->cmdline)
		return err_set(e, EINVAL, "--cmdline is missing");
	if (strlen(c->cmdline) > CONFIG_CMDLINE_MAX)
		return err_set(e, EINVAL, "--cmdline: longer than %d bytes", CONFIG_CMDLINE_MAX);
	return 0;
}

static int check(const struct config *c, struct err *e)
{
	int r = check_start(c, e);
	if (r < 0)
		return r;
	if (c->memory_mib < CONFIG_MEMORY_MIN_MIB || c->memory_mib > CONFIG_MEMORY_MAX_MIB)
		return err_set(e, EINVAL, "--memory-mib: give %d to %d", CONFIG_MEMORY_MIN_MIB,
			       CONFIG_MEMORY_MAX_MIB);
	if (c->cpus < 1 || c->cpus > CONFIG_CPUS_MAX)
		return err_set(e, EINVAL, "--cpus: give 1 to %d", CONFIG_CPUS_MAX);
	return 0;
}

struct config config_none(void)
{
	return (struct config){.fd = {[0 ... VMM_FDS - 1] = -1}};
}

int config_parse(int argc, char *const argv[], struct config *ret, struct err *e)
{
	struct config c = config_none();

	c.jail = JAIL_ON;
	c.disk_rate = (struct limit){CONFIG_DISK_BYTES_PER_S, CONFIG_DISK_OPS_PER_S};
	c.vsock_rate = (struct limit){CONFIG_VSOCK_BYTES_PER_S, CONFIG_VSOCK_OPS_PER_S};
	c.console_rate = (struct limit){CONFIG_CONSOLE_BYTES_PER_S, CONFIG_CONSOLE_OPS_PER_S};
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
	int r = c.help || c.jail_check ? 0 : check(&c, e);
	if (r == 0)
		*ret = c;
	return r;
}
