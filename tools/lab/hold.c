/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.c - keeps the kernel of the lab from rewriting its own code while tests run (README.md: why).
 *
 * Linux switches rarely needed branches by changing instructions (static keys): the scheduler's for KVM with the first
 * VM and after the last one, KVM's for local APICs that are off with each vCPU. As long as a VM with such a vCPU exists
 * (it never runs), nothing of that changes. Started by init before everything else; ends with the machine.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	if (vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0 || ioctl(vm, KVM_CREATE_VCPU, 0) < 0) {
		perror("hold");
		return 1;
	}
	if (daemon(1, 1) < 0) /* its starter goes on when it holds */
		return 1;
	for (;;)
		pause();
}
