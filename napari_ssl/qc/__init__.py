"""Quality control: is this segmentation plausible, judged by the curves it gives (Ruijsink et al. 2020)."""
