/* SPDX-License-Identifier: Apache-2.0 */
/* insn.c - see insn.h. */
#include "vmm/arch/x86/insn.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum map { MAP_ONE, MAP_0F };

enum form {
	BARE, /* no ModRM byte */
	MEM,  /* ModRM, r/m must be memory */
	REG,  /* ModRM, r/m must be a register */
	ANY,  /* ModRM, either */
};

enum {
	ANY_PREFIX = 0, /* 66, F2, F3 mean nothing here, or only the operand size */
	NO_PREFIX = 1,  /* with one of them it is another instruction */
	PREFIX_F3 = 0xf3,
};

struct encoding {
	const char *name;
	uint8_t map, opcode, prefix, form;
	uint8_t modrm_mask, modrm; /* bits of ModRM that belong to the opcode */
	bool rex_w;                /* only with REX.W */
};

enum { SLASH = 0x38, WHOLE = 0xff };
#define DIGIT(n) SLASH, (n) << 3

static const struct encoding encodings[INSN_IDS] = {
	[INSN_INT3] = {"int3", MAP_ONE, 0xcc, ANY_PREFIX, BARE, 0, 0, false},
	[INSN_UD1] = {"ud1", MAP_0F, 0xb9, ANY_PREFIX, ANY, 0, 0, false},
	[INSN_FWAIT] = {"fwait", MAP_ONE, 0x9b, ANY_PREFIX, BARE, 0, 0, false},
	[INSN_FNCLEX] = {"fnclex", MAP_ONE, 0xdb, ANY_PREFIX, REG, WHOLE, 0xe2, false},
	[INSN_EMMS] = {"emms", MAP_0F, 0x77, NO_PREFIX, BARE, 0, 0, false},
	[INSN_FILDL] = {"fildl", MAP_ONE, 0xdb, ANY_PREFIX, MEM, DIGIT(0), false},
	[INSN_LDMXCSR] = {"ldmxcsr", MAP_0F, 0xae, NO_PREFIX, MEM, DIGIT(2), false},
	[INSN_STMXCSR] = {"stmxcsr", MAP_0F, 0xae, NO_PREFIX, MEM, DIGIT(3), false},
	[INSN_XSAVE] = {"xsave", MAP_0F, 0xae, NO_PREFIX, MEM, DIGIT(4), false},
	[INSN_XSAVEOPT] = {"xsaveopt", MAP_0F, 0xae, NO_PREFIX, MEM, DIGIT(6), false},
	[INSN_XSAVEC] = {"xsavec", MAP_0F, 0xc7, NO_PREFIX, MEM, DIGIT(4), false},
	[INSN_XSAVES] = {"xsaves", MAP_0F, 0xc7, NO_PREFIX, MEM, DIGIT(5), false},
	[INSN_XRSTOR] = {"xrstor", MAP_0F, 0xae, NO_PREFIX, MEM, DIGIT(5), false},
	[INSN_XRSTORS] = {"xrstors", MAP_0F, 0xc7, NO_PREFIX, MEM, DIGIT(3), false},
	[INSN_XGETBV] = {"xgetbv", MAP_0F, 0x01, NO_PREFIX, REG, WHOLE, 0xd0, false},
	[INSN_CLAC] = {"clac", MAP_0F, 0x01, NO_PREFIX, REG, WHOLE, 0xca, false},
	[INSN_STAC] = {"stac", MAP_0F, 0x01, NO_PREFIX, REG, WHOLE, 0xcb, false},
	[INSN_POPCNT] = {"popcnt", MAP_0F, 0xb8, PREFIX_F3, ANY, 0, 0, false},
	[INSN_CMPXCHG16B] = {"cmpxchg16b", MAP_0F, 0xc7, NO_PREFIX, MEM, DIGIT(1), true},
	[INSN_RDTSCP] = {"rdtscp", MAP_0F, 0x01, NO_PREFIX, REG, WHOLE, 0xf9, false},
};

const char *insn_name(enum insn_id id)
{
	assert(id < INSN_IDS);
	return encodings[id].name;
}

/* The bytes not decoded yet. */
struct cursor {
	const uint8_t *p, *end;
};

static int next(struct cursor *c, uint8_t *ret)
{
	if (c->p == c->end)
		return -ENODATA;
	*ret = *c->p++;
	return 0;
}

struct prefixes {
	bool opsize, addrsize, lock;
	uint8_t rep; /* the last of F2 and F3, or 0 */
	uint8_t rex;
	enum insn_seg seg;
};

/* CS, DS, ES and SS overrides are accepted and mean nothing in 64-bit mode. */
static bool legacy_prefix(struct prefixes *p, uint8_t b)
{
	switch (b) {
	case 0x66: p->opsize = true; return true;
	case 0x67: p->addrsize = true; return true;
	case 0xf0: p->lock = true; return true;
	case 0xf2:
	case 0xf3: p->rep = b; return true;
	case 0x64: p->seg = INSN_SEG_FS; return true;
	case 0x65: p->seg = INSN_SEG_GS; return true;
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e: return true;
	default: return false;
	}
}

/* Leaves the first byte that is no prefix in *ret. A REX counts only right before the opcode. */
static int take_prefixes(struct cursor *c, struct prefixes *p, uint8_t *ret)
{
	for (;;) {
		int r = next(c, ret);

		if (r < 0)
			return r;
		if ((*ret & 0xf0) == 0x40)
			p->rex = *ret;
		else if (legacy_prefix(p, *ret))
			p->rex = 0;
		else
			return 0;
	}
}

static int take_opcode(struct cursor *c, uint8_t first, enum map *ret_map, uint8_t *ret_opcode)
{
	*ret_map = first == 0x0f ? MAP_0F : MAP_ONE;
	*ret_opcode = first;
	return first == 0x0f ? next(c, ret_opcode) : 0;
}

static bool prefix_fits(const struct encoding *e, const struct prefixes *p)
{
	switch (e->prefix) {
	case ANY_PREFIX: return true;
	case NO_PREFIX: return !p->opsize && !p->rep;
	default: return p->rep == e->prefix;
	}
}

static bool modrm_fits(const struct encoding *e, uint8_t modrm)
{
	bool is_reg = modrm >> 6 == 3;

	if ((e->form == MEM && is_reg) || (e->form == REG && !is_reg))
		return false;
	return (modrm & e->modrm_mask) == e->modrm;
}

/* -ENODATA when the answer depends on a ModRM byte that is not there. */
static int row_find(const struct cursor *c, enum map map, uint8_t opcode, const struct prefixes *p)
{
	for (int id = 0; id < INSN_IDS; id++) {
		const struct encoding *e = &encodings[id];

		if (e->map != map || e->opcode != opcode || !prefix_fits(e, p) ||
		    (e->rex_w && !(p->rex & 8)))
			continue;
		if (e->form == BARE)
			return id;
		if (c->p == c->end)
			return -ENODATA;
		if (modrm_fits(e, *c->p))
			return id;
	}
	return -ENOENT;
}

static int take_disp(struct cursor *c, unsigned bytes, int32_t *ret)
{
	int32_t wide;

	if (c->end - c->p < (ptrdiff_t)bytes)
		return -ENODATA;
	if (bytes == 1) {
		*ret = *c->p < 128 ? *c->p : *c->p - 256;
	} else if (bytes == 4) {
		memcpy(&wide, c->p, sizeof(wide));
		*ret = wide;
	}
	c->p += bytes;
	return 0;
}

/* SDM vol. 2, table 2-3. rsp as index means none; rbp as base with mod 0 means disp32 alone. */
static int take_sib(struct cursor *c, uint8_t rex, uint8_t mod, struct insn *ret)
{
	uint8_t sib;
	int r = next(c, &sib);

	if (r < 0)
		return r;
	ret->scale = (uint8_t)(1 << (sib >> 6));
	ret->index = (int8_t)((sib >> 3 & 7) | (rex & 2) << 2);
	if (ret->index == 4)
		ret->index = INSN_NO_REG;
	ret->base = (int8_t)((sib & 7) | (rex & 1) << 3);
	if ((sib & 7) == 5 && mod == 0) {
		ret->base = INSN_NO_REG;
		return take_disp(c, 4, &ret->disp);
	}
	return 0;
}

/* Table 2-2. r/m 4 announces a SIB byte, r/m 5 with mod 0 is RIP-relative, whatever REX.B says. */
static int take_modrm(struct cursor *c, uint8_t rex, struct insn *ret)
{
	uint8_t modrm, mod;
	int r = next(c, &modrm);

	if (r < 0)
		return r;
	mod = modrm >> 6;
	ret->reg = (uint8_t)((modrm >> 3 & 7) | (rex & 4) << 1);
	ret->rm = (uint8_t)((modrm & 7) | (rex & 1) << 3);
	ret->is_mem = mod != 3;
	if (!ret->is_mem)
		return 0;
	ret->base = (int8_t)ret->rm;
	if ((modrm & 7) == 4)
		r = take_sib(c, rex, mod, ret);
	else if ((modrm & 7) == 5 && mod == 0)
		ret->base = INSN_BASE_RIP;
	if (r < 0)
		return r;
	if (ret->base == INSN_BASE_RIP || mod == 2)
		return take_disp(c, 4, &ret->disp);
	return mod == 1 ? take_disp(c, 1, &ret->disp) : 0;
}

int insn_decode(const uint8_t *buf, size_t len, struct insn *ret)
{
	size_t usable = min_(len, (size_t)INSN_MAX_BYTES);
	struct cursor c = {buf, buf + usable};
	int cut = len >= INSN_MAX_BYTES ? -EINVAL : -ENODATA;
	struct prefixes p = {0};
	enum map map = MAP_ONE;
	uint8_t opcode = 0;
	int r, id;

	*ret = (struct insn){.base = INSN_NO_REG, .index = INSN_NO_REG, .scale = 1};
	r = take_prefixes(&c, &p, &opcode);
	if (r == 0)
		r = take_opcode(&c, opcode, &map, &opcode);
	if (r < 0)
		return cut;
	id = row_find(&c, map, opcode, &p);
	if (id < 0)
		return id == -ENODATA ? cut : id;
	if (encodings[id].form != BARE && take_modrm(&c, p.rex, ret) < 0)
		return cut;

	ret->id = (enum insn_id)id;
	ret->len = (uint8_t)(c.p - buf);
	ret->opsize = p.rex & 8 ? 8 : p.opsize ? 2 : 4;
	ret->addrsize = p.addrsize ? 4 : 8;
	ret->lock = p.lock;
	ret->seg = p.seg;
	return 0;
}
