"""Recording what a run was made from, at the time of training: tags that an audit of later years reads.

Runs in the user's own Python beside a training, so that a failure in here never is one of the training's.
"""
