from disbench.benchmark.cli.main import main

main()
