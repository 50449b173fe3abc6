"""ATLAS on K3s: what its objects are, what a machine lacks, how it is installed, checked and taken away.

`values` and `chart` make objects without a cluster; `facts` looks at a machine and `preflight` judges what it
saw; `plan` puts `steps` in order, `install` goes through them; `verify` and `uninstall` speak to a cluster.
"""
