"""What a robot meets beside the people that a model learns from: noises, synthetic voices, bodies that do not walk.

A classifier answers whatever it is shown. Shown some of this beside people, a second, linear one learns where the first
one's answers mean anything (outlier exposure: Hendrycks et al. 2019).
"""
