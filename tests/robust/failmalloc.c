/*
 * failmalloc: a library to preload that makes allocations fail, each place in the program once, as a driver says.
 *
 *   FAILMALLOC=FILE LD_PRELOAD=failmalloc.so PROGRAM ...
 *
 * FILE, which the driver makes and maps too, holds a struct control. A place is a call stack. Blocks that were allocated
 * since the driver said so and are not free when the program ends are written to FILE.leaks, a line each, with their
 * stacks, and then `end`. Some libraries abort or crash when they get no memory, and no caller can help it: what they ask for never
 * fails (see spared_names). Knows nothing of the program.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEPTH_MAX  16
#define SKIP       3 /* take_stack(), fails(), malloc() */
#define PLACES_MAX 8192u
#define BLOCKS_MAX (UINT32_C(1) << 17) /* a power of two */
#define TOMB       ((void *)1)

enum mode {
	MODE_OFF,
	MODE_ONCE,     /* fails at the next place that has not failed yet, then turns itself off */
	MODE_FOR_GOOD, /* fails there, and turns to MODE_ALL */
	MODE_ALL,      /* fails everywhere */
};

/* Shared with the driver: the layout is known to allocfail.py. */
struct control {
	_Atomic uint32_t mode;
	_Atomic uint32_t depth;  /* how many callers tell places apart */
	_Atomic uint32_t record; /* blocks are remembered from now on */
	_Atomic uint32_t places; /* how many have failed */
	_Atomic uint64_t live;   /* blocks */
	_Atomic uint64_t allocations;
	_Atomic uint64_t failures;
	_Atomic uint32_t overflow; /* a table was full: the results mean nothing */
	uint32_t stack_depth;
	uint64_t stack[DEPTH_MAX]; /* of the place that failed last */
	uint64_t hashes[PLACES_MAX];
};

/* libgmp: its manual says that it aborts; libfyaml 0.7.12 and libtasn1 4.19 use what they did not get. */
static const char *const spared_names[] = { "/libgmp.so", "/libfyaml.so", "/libtasn1.so" };
#define SPARED_MAX (sizeof(spared_names) / sizeof(spared_names[0]))

/* Code. */
struct range {
	uintptr_t begin;
	uintptr_t end;
};

struct stack {
	int depth;
	void *frames[DEPTH_MAX];
};

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *address);

static struct control *control;
static FILE *leaks; /* opened early: a sandbox may forbid it later */
static struct range spared[SPARED_MAX];
static unsigned int spared_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void **blocks;        /* a hash table */
static struct stack *stacks; /* of the blocks in the same slots */
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));

__attribute__((noinline)) static void take_stack(struct stack *stack)
{
	void *frames[DEPTH_MAX + SKIP];
	int depth = backtrace(frames, DEPTH_MAX + SKIP);

	stack->depth = depth > SKIP ? depth - SKIP : 0;
	memcpy(stack->frames, frames + SKIP, (size_t)stack->depth * sizeof(frames[0]));
}

static uint64_t hash_stack(const struct stack *stack)
{
	uint32_t wanted = atomic_load(&control->depth);
	uint64_t hash = 1;

	for (int i = 0; i < stack->depth && (uint32_t)i < wanted; i++)
		hash = (hash ^ (uint64_t)(uintptr_t)stack->frames[i]) * UINT64_C(0x100000001b3) ^
		       hash >> 29;
	return hash;
}

/* Under the lock. */
static bool is_new_place(const struct stack *stack)
{
	uint64_t hash = hash_stack(stack);
	uint32_t places = atomic_load(&control->places);

	for (uint32_t i = 0; i < places; i++)
		if (control->hashes[i] == hash)
			return false;
	if (places == PLACES_MAX) {
		atomic_store(&control->overflow, 1);
		return false;
	}
	control->hashes[places] = hash;
	control->stack_depth = (uint32_t)stack->depth;
	for (int i = 0; i < stack->depth; i++)
		control->stack[i] = (uint64_t)(uintptr_t)stack->frames[i];
	atomic_store(&control->places, places + 1);
	return true;
}

static bool is_code_of(const struct range *range, const struct stack *stack)
{
	for (int i = 0; i < stack->depth; i++)
		if ((uintptr_t)stack->frames[i] >= range->begin &&
		    (uintptr_t)stack->frames[i] < range->end)
			return true;
	return false;
}

static bool is_spared(const struct stack *stack)
{
	for (unsigned int i = 0; i < spared_count; i++)
		if (is_code_of(&spared[i], stack))
			return true;
	return false;
}

/* Under the lock. */
static bool decide(const struct stack *stack)
{
	uint32_t mode = atomic_load(&control->mode);

	if (mode == MODE_OFF || is_spared(stack))
		return false;
	if (mode == MODE_ALL)
		return true;
	if (!is_new_place(stack))
		return false;
	atomic_store(&control->mode, mode == MODE_ONCE ? MODE_OFF : MODE_ALL);
	return true;
}

/* Whether this allocation fails; else *stack says where it is, if that is of interest. */
__attribute__((noinline)) static bool fails(struct stack *stack)
{
	bool answer = false;

	stack->depth = -1;
	if (control == NULL || inside)
		return false;
	atomic_fetch_add(&control->allocations, 1);
	if (atomic_load(&control->mode) == MODE_OFF && atomic_load(&control->record) == 0)
		return false;
	inside = true;
	take_stack(stack);
	pthread_mutex_lock(&lock);
	answer = decide(stack);
	pthread_mutex_unlock(&lock);
	inside = false;
	if (answer) {
		atomic_fetch_add(&control->failures, 1);
		errno = ENOMEM;
	}
	return answer;
}

static uint32_t slot_of(const void *address)
{
	return (uint32_t)(((uintptr_t)address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) &
	       (BLOCKS_MAX - 1);
}

static void remember(void *address, const struct stack *stack)
{
	uint32_t slot = slot_of(address), tries = 0;

	if (stack->depth < 0 || atomic_load(&control->record) == 0)
		return;
	pthread_mutex_lock(&lock);
	while (blocks[slot] != NULL && blocks[slot] != TOMB && tries++ < BLOCKS_MAX)
		slot = (slot + 1) & (BLOCKS_MAX - 1);
	if (tries < BLOCKS_MAX) {
		blocks[slot] = address;
		stacks[slot] = *stack;
	} else {
		atomic_store(&control->overflow, 1);
	}
	pthread_mutex_unlock(&lock);
}

/* Marks the slot free; before a slot that was never used the marks are not needed. Under the lock. */
static void clear_slot(uint32_t slot)
{
	blocks[slot] = TOMB;
	if (blocks[(slot + 1) & (BLOCKS_MAX - 1)] != NULL)
		return;
	for (; blocks[slot] == TOMB; slot = (slot - 1) & (BLOCKS_MAX - 1))
		blocks[slot] = NULL;
}

static void forget(const void *address)
{
	uint32_t slot = slot_of(address), tries = 0;

	if (control == NULL || inside || atomic_load(&control->record) == 0)
		return;
	pthread_mutex_lock(&lock);
	while (blocks[slot] != NULL && blocks[slot] != address && tries++ < BLOCKS_MAX)
		slot = (slot + 1) & (BLOCKS_MAX - 1);
	if (blocks[slot] == address)
		clear_slot(slot);
	pthread_mutex_unlock(&lock);
}

static void *given(void *address, const struct stack *stack)
{
	if (address != NULL && control != NULL) {
		atomic_fetch_add(&control->live, 1);
		remember(address, stack);
	}
	return address;
}

void *malloc(size_t size)
{
	struct stack stack;

	return fails(&stack) ? NULL : given(__libc_malloc(size), &stack);
}

void *calloc(size_t count, size_t size)
{
	struct stack stack;

	return fails(&stack) ? NULL : given(__libc_calloc(count, size), &stack);
}

void *realloc(void *old, size_t size)
{
	struct stack stack;
	void *address;

	if (size > 0 && fails(&stack))
		return NULL;
	if (size == 0)
		stack.depth = -1;
	forget(old);
	address = __libc_realloc(old, size);
	if (old != NULL && control != NULL && (address != NULL || size == 0))
		atomic_fetch_sub(&control->live, 1);
	return given(address, &stack);
}

void *reallocarray(void *old, size_t count, size_t size)
{
	if (__builtin_mul_overflow(count, size, &size)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
	struct stack stack;

	return fails(&stack) ? NULL : given(__libc_memalign(alignment, size), &stack);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **ret_address, size_t alignment, size_t size)
{
	void *address = memalign(alignment, size);

	if (address == NULL)
		return ENOMEM;
	*ret_address = address;
	return 0;
}

void free(void *address)
{
	int saved = errno;

	if (address == NULL)
		return;
	forget(address);
	__libc_free(address);
	if (control != NULL)
		atomic_fetch_sub(&control->live, 1);
	errno = saved;
}

static void write_frame(FILE *file, void *frame)
{
	Dl_info info;

	if (dladdr(frame, &info) == 0 || info.dli_fname == NULL)
		(void)fprintf(file, " ?");
	else
		(void)fprintf(file, " %s+0x%lx", info.dli_fname,
			      (unsigned long)((uintptr_t)frame - (uintptr_t)info.dli_fbase));
}

__attribute__((destructor)) static void report(void)
{
	if (control == NULL || atomic_load(&control->record) == 0)
		return;
	inside = true;
	for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
		if (blocks[i] == NULL || blocks[i] == TOMB)
			continue;
		for (int j = 0; j < stacks[i].depth; j++)
			write_frame(leaks, stacks[i].frames[j]);
		(void)fputc('\n', leaks);
	}
	(void)fputs("end\n", leaks);
	(void)fclose(leaks);
}

static struct range code_of(const struct dl_phdr_info *info)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t begin = (uintptr_t)(info->dlpi_addr + header->p_vaddr);

		if (header->p_type == PT_LOAD && (header->p_flags & PF_X))
			return (struct range){ begin, begin + header->p_memsz };
	}
	return (struct range){ 0, 0 };
}

static int find_spared(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (size_t i = 0; i < SPARED_MAX; i++)
		if (strstr(info->dlpi_name, spared_names[i]) && spared_count < SPARED_MAX)
			spared[spared_count++] = code_of(info);
	return 0;
}

static void *map(size_t size, int flags, int fd)
{
	void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	return address == MAP_FAILED ? NULL : address;
}

/* The unwinder loads a library of its own at its first call. */
__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAILMALLOC");
	char leaks_path[4096];
	void *frames[2];
	int fd;

	if (path == NULL)
		return;
	inside = true;
	(void)backtrace(frames, 2);
	(void)dl_iterate_phdr(find_spared, NULL);
	(void)snprintf(leaks_path, sizeof(leaks_path), "%s.leaks", path);
	leaks = fopen(leaks_path, "we");
	fd = open(path, O_RDWR | O_CLOEXEC);
	blocks = map(BLOCKS_MAX * sizeof(*blocks), MAP_PRIVATE | MAP_ANONYMOUS, -1);
	stacks = map(BLOCKS_MAX * sizeof(*stacks), MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (fd >= 0 && leaks != NULL && blocks != NULL && stacks != NULL)
		control = map(sizeof(*control), MAP_SHARED, fd);
	if (fd >= 0)
		(void)close(fd);
	inside = false;
	if (control == NULL)
		abort();
}
