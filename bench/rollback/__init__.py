"""A version that goes bad under load -> its workers stopped, the good ones back: in every setting that could matter."""
