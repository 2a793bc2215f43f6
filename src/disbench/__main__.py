from disbench.benchmark.cli import main

main()
