/* SPDX-License-Identifier: Apache-2.0 */
/* pagewalk.c - see pagewalk.h. */
#include "vmm/arch/x86/pagewalk.h"

#include <errno.h>
#include <stdbool.h>

#define PTE_NX   (1ULL << 63)
#define PTE_ADDR 0x000ffffffffff000ULL

enum {
	PTE_P = 1 << 0,
	PTE_W = 1 << 1,
	PTE_U = 1 << 2,
	PTE_A = 1 << 5,
	PTE_D = 1 << 6,
	PTE_PS = 1 << 7,
	RETRIES = 8,
};

/* The rights of a translation: every level must grant writing, user access and execution. */
struct rights {
	bool write, user, exec;
	unsigned pkey;
};

/* PKRU holds two bits a key: access disabled, write disabled (the latter binds the kernel only with
 * CR0.WP). Keys apply to data accesses to user pages. */
static bool pkey_denies(const struct pagewalk *w, unsigned access, const struct rights *r)
{
	uint32_t bits = w->pkru >> (2 * r->pkey) & 3;

	if (!(w->cr4 & CR4_PKE) || !r->user || (access & PF_FETCH))
		return false;
	return (bits & 1) ||
	       ((bits & 2) && (access & PF_WRITE) && (w->cpl == 3 || (w->cr0 & CR0_WP)));
}

static bool user_may(unsigned access, const struct rights *r)
{
	return r->user && (!(access & PF_WRITE) || r->write) && (!(access & PF_FETCH) || r->exec);
}

static bool kernel_may(const struct pagewalk *w, unsigned access, const struct rights *r)
{
	if (access & PF_FETCH)
		return r->exec && !(r->user && (w->cr4 & CR4_SMEP));
	if (r->user && (w->cr4 & CR4_SMAP) && !(w->rflags & RFLAGS_AC))
		return false;
	return !(access & PF_WRITE) || r->write || !(w->cr0 & CR0_WP);
}

static int fault(const struct pagewalk *w, unsigned access, uint32_t why, uint32_t *ret_error)
{
	bool exec_checked = (w->efer & EFER_NXE) || (w->cr4 & CR4_SMEP);

	if (!exec_checked)
		access &= ~(unsigned)PF_FETCH;
	*ret_error = access | why | (w->cpl == 3 ? PF_USER : 0);
	return -EACCES;
}

static uint64_t *entry_at(const struct pagewalk *w, uint64_t table, unsigned index)
{
	struct iovec v;

	if (mem_slice(w->mem, (gpa_t){table + index * 8ULL}, 8, &v) < 0)
		return NULL;
	return v.iov_base;
}

static bool reserved(const struct pagewalk *w, uint64_t pte, unsigned level)
{
	return ((pte & PTE_NX) && !(w->efer & EFER_NXE)) || ((pte & PTE_PS) && level > 3);
}

static void restrict_rights(struct rights *r, uint64_t pte)
{
	r->write &= !!(pte & PTE_W);
	r->user &= !!(pte & PTE_U);
	r->exec &= !(pte & PTE_NX);
}

/* 0 when the page that pte maps may be accessed. */
static int check_rights(const struct pagewalk *w, unsigned access, const struct rights *r,
			uint32_t *ret_error)
{
	if (!(w->cpl == 3 ? user_may(access, r) : kernel_may(w, access, r)))
		return fault(w, access, PF_PRESENT, ret_error);
	if (pkey_denies(w, access, r))
		return fault(w, access, PF_PRESENT | PF_PKEY, ret_error);
	return 0;
}

/* A plain store would undo what another vCPU has just done to the entry: then false. */
static bool set_bits(uint64_t *slot, uint64_t pte, uint64_t bits)
{
	return (pte & bits) == bits ||
	       __atomic_compare_exchange_n(slot, &pte, pte | bits, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED);
}

/* One walk from the root. -EAGAIN: the guest changed an entry under us. */
static int walk_once(const struct pagewalk *w, uint64_t lin, unsigned access, gpa_t *ret,
		     uint32_t *ret_error)
{
	struct rights rights = {.write = true, .user = true, .exec = true};
	uint64_t table = w->cr3 & PTE_ADDR;

	for (unsigned level = w->cr4 & CR4_LA57 ? 5 : 4;; level--) {
		unsigned shift = 12 + 9 * (level - 1);
		uint64_t offset_mask = (1ULL << shift) - 1, pte;
		uint64_t *slot = entry_at(w, table, lin >> shift & 511);
		bool leaf;
		int r = 0;

		if (!slot)
			return -EFAULT;
		pte = __atomic_load_n(slot, __ATOMIC_RELAXED);
		if (!(pte & PTE_P))
			return fault(w, access, 0, ret_error);
		if (reserved(w, pte, level))
			return fault(w, access, PF_PRESENT | PF_RSVD, ret_error);
		restrict_rights(&rights, pte);
		leaf = level == 1 || (pte & PTE_PS);
		if (leaf) {
			rights.pkey = pte >> 59 & 15;
			r = check_rights(w, access, &rights, ret_error);
		}
		if (r < 0)
			return r;
		if (!set_bits(slot, pte, PTE_A | (leaf && (access & PF_WRITE) ? PTE_D : 0)))
			return -EAGAIN;
		*ret = (gpa_t){(pte & PTE_ADDR & ~offset_mask) | (lin & offset_mask)};
		if (leaf)
			return 0;
		table = pte & PTE_ADDR;
	}
}

int pagewalk(const struct pagewalk *w, uint64_t lin, unsigned access, gpa_t *ret,
	     uint32_t *ret_error)
{
	int r = -EAGAIN;

	for (int i = 0; i < RETRIES && r == -EAGAIN; i++)
		r = walk_once(w, lin, access, ret, ret_error);
	return r == -EAGAIN ? fault(w, access, 0, ret_error) : r;
}
