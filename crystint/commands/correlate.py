"""``crystint correlate``: ring centres, polar images, angular correlations and pictures of them."""
