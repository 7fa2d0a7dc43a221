/* places: see the header. */
#include "tcphealth/web/places.h"

#include <stdlib.h>

#define SPARE_PART 16 /* of all places, for newcomers */

static bool is_staying(const struct place *place)
{
	return place->fd >= 0 && !place->leaving;
}

/* Those of the share in the width that are staying; of all shares if it is NULL. */
static unsigned int count_staying(const struct places *places, const struct share *share,
				  enum share_width width)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < places->count; i++) {
		const struct place *place = &places->at[i];
		if (is_staying(place) && (!share || share_is_same(&place->share, share, width)))
			count++;
	}
	return count;
}

/* Whoever is not being answered goes first, then whoever has been as it is for longest. */
static bool goes_before(const struct place *a, const struct place *b)
{
	return a->asking == b->asking ? a->since_ns < b->since_ns : b->asking;
}

/* Who leaves of the largest share in `width`, within a share in a wider one (NULL: all). */
static struct place *leaver_of_largest(const struct places *places, enum share_width width,
				       const struct share *within, enum share_width wider)
{
	struct place *leaver = NULL;
	unsigned int largest = 0;

	for (unsigned int i = 0; i < places->count; i++) {
		struct place *place = &places->at[i];
		if (!is_staying(place) || (within && !share_is_same(&place->share, within, wider)))
			continue;
		unsigned int count = leaver && share_is_same(&place->share, &leaver->share, width)
					     ? largest
					     : count_staying(places, &place->share, width);
		if (leaver &&
		    (count < largest || (count == largest && !goes_before(place, leaver))))
			continue;
		largest = count;
		leaver = place;
	}
	return leaver;
}

static struct place *leaver_of_full_house(const struct places *places)
{
	struct place *leaver = leaver_of_largest(places, SHARE_48, NULL, SHARE_48);

	leaver = leaver_of_largest(places, SHARE_56, &leaver->share, SHARE_48);
	return leaver_of_largest(places, SHARE_64, &leaver->share, SHARE_56);
}

/* Places that are given, beside those that are spare. */
static unsigned int seats(const struct places *places)
{
	return places->count - 1 - places->count / SPARE_PART;
}

bool places_init(struct places *places, unsigned int count, unsigned int per_share)
{
	*places = (struct places){ .at = calloc(count, sizeof(*places->at)),
				   .count = count,
				   .per_share = per_share };
	for (unsigned int i = 0; places->at && i < count; i++)
		places->at[i].fd = -1;
	return places->at != NULL;
}

void places_done(struct places *places)
{
	free(places->at);
}

struct place *places_find(struct places *places, int fd)
{
	for (unsigned int i = 0; i < places->count; i++) {
		if (places->at[i].fd == fd)
			return &places->at[i];
	}
	return NULL;
}

void places_release(struct places *places, struct place *place)
{
	place->fd = -1;
	places->used--;
}

bool places_has_room(const struct places *places)
{
	return places->used < places->count;
}

/* Who leaves before another of the share gets in, or NULL. */
static struct place *leaver_for(const struct places *places, const struct share *share)
{
	if (count_staying(places, share, SHARE_64) >= places->per_share)
		return leaver_of_largest(places, SHARE_64, share, SHARE_64);
	return count_staying(places, NULL, SHARE_64) >= seats(places) ? leaver_of_full_house(places)
								      : NULL;
}

struct place *places_take(struct places *places, const struct place *newcomer)
{
	/* A descriptor that is still listed was closed without a report (out of memory). */
	struct place *old = places_find(places, newcomer->fd), *leaver;

	if (old)
		places_release(places, old);
	leaver = leaver_for(places, &newcomer->share);
	if (leaver)
		leaver->leaving = true;
	*places_find(places, -1) = *newcomer;
	places->used++;
	return leaver;
}
