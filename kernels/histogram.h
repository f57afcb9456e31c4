/* histogram.h - the bins of a cell, and how the pixels of a frame are read in storage order.
 *
 * A cell is a class of pixels of one ring whose normalizations hardly differ (crystint/ops/cells.py). Its bins count the pixels of
 * 0, 1, ... HIGH - 1 counts, those with more, and those without a measurement: unusable or saturated ones. Counters have 16 bits;
 * no cell has more pixels than they hold.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#define BINS 64
#define HIGH 62
#define LOST 63

#endif
