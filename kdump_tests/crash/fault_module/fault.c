/*
 * A module whose init commits one fault, for kernels that have no LKDTM.
 *
 * Built for the very kernel that runs, without its headers: what these would tell is read from a module that
 * came with it (donor.py) and defined on the command line, as are the addresses of the kernel's functions:
 *
 *   FAULT                    the function below that init calls
 *   VERMAGIC                 of the donor
 *   LAYOUT_VERSION           the donor's, of module_layout; 0 where the kernel keeps no versions
 *   MODULE_SIZE MODULE_NAME MODULE_INIT    of struct module: its size, where its name lies, and its init
 *   ADDRESS_function         of /proc/kallsyms
 */
#define INFO(name, text) \
    static const char name[] __attribute__((section(".modinfo"), used, aligned(1))) = #name "=" text
INFO(license, "GPL");
INFO(name, "kdump_verify_fault");
INFO(retpoline, "Y");
INFO(vermagic, VERMAGIC);

#if LAYOUT_VERSION
static const struct {
    unsigned long crc;
    char name[56];
} versions[] __attribute__((section("__versions"), used)) = { { LAYOUT_VERSION, "module_layout" } };
#endif

#define TEXT_(token) #token
#define TEXT(token) TEXT_(token)
#define KERNEL_FUNCTION(name) __asm__(".globl " #name "\n.set " #name ", " TEXT(ADDRESS_##name))

/* lib/refcount.c since 4.13 (5.7 under this name): warns, of each kind once. 3 is REFCOUNT_SUB_UAF. */
KERNEL_FUNCTION(refcount_warn_saturate);
void refcount_warn_saturate(int *count, int kind);

/* mm/usercopy.c since 4.16: ends in BUG(). */
KERNEL_FUNCTION(usercopy_abort);
void usercopy_abort(const char *name, const char *detail, _Bool to_user, unsigned long at, unsigned long size);

/* kernel/locking/spinlock.c: preemption is off from here on, whatever model the kernel has. */
KERNEL_FUNCTION(_raw_spin_lock);
void _raw_spin_lock(int *lock);

/* A function of its own, by whose name the backtrace shows the fault. */
#define NAMED __attribute__((noinline))

static int lock, count;

NAMED int null_dereference(void)
{
    __asm__ volatile("movl $0, 0");
    return 0;
}

NAMED int bug(void)
{
    usercopy_abort("kdump-verify", "a fault that was asked for", 1, 0, 1);
    return 0;
}

NAMED int warning(void)
{
    refcount_warn_saturate(&count, 3);
    return 0;
}

NAMED int exhaust_stack(void)
{
    __asm__ volatile("1: push %rax\n jmp 1b");
    return 0;
}

NAMED int spin(void)
{
    _raw_spin_lock(&lock);
    for (;;)
        __asm__ volatile("pause");
}

NAMED int spin_without_interrupts(void)
{
    __asm__ volatile("cli");
    for (;;)
        __asm__ volatile("pause");
}

int init_module(void)
{
    return FAULT();
}

struct module {
    char before_name[MODULE_NAME];
    char name[MODULE_INIT - MODULE_NAME];
    int (*init)(void);
    char after_init[MODULE_SIZE - MODULE_INIT - sizeof(void *)];
} __this_module __attribute__((section(".gnu.linkonce.this_module"), aligned(64))) = {
    .name = "kdump_verify_fault",
    .init = init_module,
};
