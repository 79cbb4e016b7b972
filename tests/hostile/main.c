/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the machine, the log and the frame around each case. See guest.h.
 *
 * The log is a disk of its own, a line to a sector: the verdict of each case travels through a device
 * that nobody attacks, and so proves that the loop and the disk thread live on.
 */
#include "tests/hostile/guest.h"

enum {
	SLOT_BASE = 0xd0000000,
	PVPANIC = 0xd0101000,
	LINE_BYTES = 512,

	/* in the kernel's boot_params */
	BP_E820_ENTRIES = 0x1e8,
	BP_CMD_LINE = 0x228,
	BP_E820_TABLE = 0x2d0,
	E820_BYTES = 20,
};
#define HOLE_START 0xc0000000ULL
#define HOLE_END   0x100000000ULL
#define LATE_TICKS (1ULL << 36) /* of the processor's clock: some 20 s */

struct dev device[SLOTS];
uint64_t ram_end[2] = {0, HOLE_END};

static const char *wanted_group;
static unsigned percent = 100;

/* ---- small things ---- */

void copy(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
}

void fill(void *to, uint8_t byte, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
}

/* The compiler calls these by itself. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
	copy(to, from, n);
	return to;
}

void *memset(void *to, int byte, size_t n)
{
	fill(to, (uint8_t)byte, n);
	return to;
}

bool same(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	while (n && *x == *y)
		n--, x++, y++;
	return n == 0;
}

uint32_t chance(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;

	state = state * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(state >> 33);
}

unsigned volume(unsigned n)
{
	return max_(n * percent / 100, 1U);
}

uint64_t clock_now(void)
{
	return __builtin_ia32_rdtsc();
}

bool is_late(uint64_t since)
{
	return clock_now() - since > LATE_TICKS;
}

void halt(void)
{
	for (;;)
		__asm__ volatile("hlt" ::"D"(0));
}

void in_ring_0(void (*fn)(void))
{
	__asm__ volatile("hlt"
			 : "+D"(fn)
			 :
			 : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
}

/* ---- the log ---- */

static char line[LINE_BYTES];
static size_t line_len;
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} log_header = {.type = 1 /* write */};
static uint8_t log_status;

static void say(const char *text)
{
	while (*text && line_len < sizeof(line) - 1)
		line[line_len++] = *text++;
}

static void say_number(uint64_t v)
{
	char digits[21];
	size_t i = sizeof(digits);

	digits[--i] = 0;
	do
		digits[--i] = (char)('0' + v % 10);
	while (v /= 10);
	say(digits + i);
}

/* Nothing can be said any more: the way out that needs no device. */
static _Noreturn void give_up(void)
{
	*(volatile uint8_t *)PVPANIC = 1;
	halt();
}

static void write_log(uint32_t type, const void *data, uint32_t len)
{
	struct dev *d = &device[SLOT_LOG];

	log_header.type = type;
	log_status = 0xff;
	put(d, 0, 0, (struct desc){at(&log_header), sizeof(log_header), D_NEXT, 1});
	put(d, 0, 1, (struct desc){at(data), len, D_NEXT, 2});
	put(d, 0, 2, (struct desc){at(&log_status), 1, D_WRITE, 0});
	expose(d, 0, 0);
	kick(d, 0);
	if (!used(d, 0, NULL) || log_status != 0)
		give_up();
}

static void end_line(void)
{
	line[line_len++] = '\n';
	fill(line + line_len, 0, sizeof(line) - line_len);
	write_log(1, line, sizeof(line));
	log_header.sector++;
	line_len = 0;
}

void barrier(void)
{
	static char zeroes[LINE_BYTES];

	write_log(1, zeroes, sizeof(zeroes)); /* where the next line will be */
}

/* ---- cases ---- */

static const char *const verdict_names[] = {
	[ANSWERED] = "answered",       [IGNORED] = "ignored",   [REFUSED] = "refused",
	[NEEDS_RESET] = "needs reset", [SURVIVED] = "survived", [WRONG] = "wrong",
};

static unsigned cases, failures;
static struct {
	const char *what;
	uint64_t value;
} notes[4];
static unsigned nnotes;

void note(const char *what, uint64_t value)
{
	if (nnotes < countof(notes)) {
		notes[nnotes].what = what;
		notes[nnotes++].value = value;
	}
}

enum verdict broken_or(const struct dev *d, enum verdict otherwise)
{
	return is_broken(d) ? NEEDS_RESET : otherwise;
}

enum verdict holds(bool condition, enum verdict v)
{
	return condition ? v : WRONG;
}

static void record(const struct group *g, const struct attack *a, enum verdict got, const char *end)
{
	bool ok = got == a->want && !end;

	cases++;
	failures += !ok;
	say(ok ? "ok " : "not ok ");
	say(g->name);
	say(".");
	say(a->name);
	say(": ");
	say(verdict_names[got]);
	if (got != a->want) {
		say(", expected ");
		say(verdict_names[a->want]);
	}
	if (end)
		say(end);
	for (unsigned i = 0; i < nnotes; i++) {
		say(i ? ", " : " (");
		say(notes[i].what);
		say(" ");
		say_number(notes[i].value);
	}
	say(nnotes ? ")" : "");
	nnotes = 0;
	end_line();
}

void leave(const char *name, bool as_meant)
{
	static const struct group stuck = {.name = "stuck"};

	record(&stuck, &(struct attack){.name = name, .want = SURVIVED},
	       as_meant ? SURVIVED : WRONG, NULL);
}

void run_group(const struct group *g, struct dev *d)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct attack *a = &g->attack[i];
		bool ready = g->prepare(d);
		enum verdict got = ready ? a->run(d) : WRONG;

		barrier();
		reset(d);
		record(g, a, got,
		       !ready           ? ", could not be prepared"
		       : status(d) != 0 ? ", does not reset"
		       : !g->works(d)   ? ", does no honest work afterwards"
					: NULL);
	}
}

/* ---- the machine ---- */

static bool is_word(const char *text, const char *word)
{
	while (*word && *text == *word)
		text++, word++;
	return !*word && (!*text || *text == ' ');
}

/* The command line is GROUP [PERCENT]. */
static void read_command_line(const char *text)
{
	wanted_group = text;
	while (*text && *text != ' ')
		text++;
	if (!*text)
		return;
	for (percent = 0, text++; *text >= '0' && *text <= '9'; text++)
		percent = percent * 10 + (unsigned)(*text - '0');
}

static void read_memory_map(const uint8_t *params)
{
	for (unsigned i = 0; i < params[BP_E820_ENTRIES]; i++) {
		uint64_t range[2];

		copy(range, params + BP_E820_TABLE + i * E820_BYTES, sizeof(range));
		ram_end[range[0] >= HOLE_START] = range[0] + range[1];
	}
}

static void find_devices(void)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		device[i].base = SLOT_BASE + (uint64_t)i * PAGE_BYTES;
		look_at(&device[i]);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{"regs", regs_group},       {"queue", queue_group}, {"blk", blk_group},
	{"console", console_group}, {"flood", flood_group}, {"vsock", vsock_group},
	{"stream", stream_group},   {"race", race_group},   {"machine", machine_group},
	{"stuck", stuck_group},     {"mute", mute_group},   {"jump", jump_group},
};

_Noreturn void hostile_main(const uint8_t *params);

void hostile_main(const uint8_t *params)
{
	uint32_t cmdline;

	copy(&cmdline, params + BP_CMD_LINE, sizeof(cmdline));
	read_command_line((const char *)(uint64_t)cmdline);
	read_memory_map(params);
	find_devices();
	if (!start(&device[SLOT_LOG], F_ALL))
		give_up();
	for (size_t i = 0; i < countof(groups); i++)
		if (is_word(wanted_group, groups[i].name))
			groups[i].run();
	say("done ");
	say_number(cases);
	say(" cases, ");
	say_number(failures);
	say(" failed");
	racer_halt();
	end_line();
	halt();
}
