"""From images to class probabilities and confidence on the image's own grid."""
