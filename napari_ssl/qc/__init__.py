"""Quality control: a classifier that judges segmentations by their volume curves, and what it is trained with.

::

    curves ──▶ inputs ──▶ classifier ──▶ score            is it good? (probability, calibrated on held-out subjects)
                              │      └──▶ explain         which frames and which structure say so
    ratings, decisions ──▶ data ──▶ train ──▶ evaluate    folds by subject, operating point, intervals
    good cycles ──▶ faults ──▶ simulation ──┘             in the place of ratings that are not there yet
    ensemble ──▶ predicted_dice                           a second opinion, from label maps and not from curves
"""
