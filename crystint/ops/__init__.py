"""Operations on one frame: background, significant pixels, peaks, sparse frames and back."""
